"""packed: values of few bits and their scales are one tensor, the very numbers they stand for."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from export.architectures import read_architecture
from export.checkpoint.block_scaled import unpack_mxfp4, unpack_scaled
from export.checkpoint.config import Config
from export.checkpoint.safetensors import SINGLE_FILE, open_checkpoint
from export.errors import CheckpointError, UnsupportedError
from export.pipeline import export_checkpoint
from export.spec.oracle import forward
from inference.runtime.onnx import OnnxModel
from tests.support.exported import TOKEN_IDS, no_progress, read_tokens, read_values, tiny_options
from tests.support.packed_checkpoints import (
    write_fp8_checkpoint,
    write_modelopt_checkpoint,
    write_mxfp4_checkpoint,
)
from tests.support.tiny_checkpoints import TINY_MODELS, write_tiny_checkpoint
from tests.support.tiny_families import FAMILY_MODELS

GPT_OSS = next(model for model in FAMILY_MODELS if model.name == "gpt_oss")
TOLERANCE = 1e-4


def check_mxfp4(code: int, scale: int, *, gives: float) -> None:
    blocks = np.zeros((1, 1, 16), np.uint8)
    blocks[0, 0, 3] = code << 4  # the seventh value
    unpacked = unpack_mxfp4(blocks, np.array([[scale]], np.uint8))
    assert unpacked.shape == (32, 1)
    assert unpacked[7, 0] == gives
    assert np.count_nonzero(unpacked) == (gives != 0)


def check_package(checkpoint: Path, folder: Path) -> None:
    """A package of it computes what the numbers in the checkpoint say."""
    options = tiny_options(precision="f32")
    manifest = export_checkpoint(str(checkpoint), folder, options, progress=no_progress)
    model = OnnxModel.load(folder, manifest)
    spec, values = read_values(checkpoint)
    found = read_tokens(model, model.create_cache(), TOKEN_IDS)
    expected = forward(spec, values, TOKEN_IDS)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def check_refused(tensors: dict[str, np.ndarray], folder: Path, because: str) -> None:
    save_file(tensors, folder / SINGLE_FILE)
    with pytest.raises((CheckpointError, UnsupportedError), match=because):
        open_checkpoint(folder)


def test_every_fourth_bit_value() -> None:
    magnitudes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    for code, value in enumerate(magnitudes):
        check_mxfp4(code, 127, gives=value)
        check_mxfp4(code + 8, 127, gives=-value)


def test_a_scale_is_a_power_of_two() -> None:
    check_mxfp4(7, 130, gives=48.0)
    check_mxfp4(1, 120, gives=0.5 / 128)


def test_a_float8_block_has_one_factor() -> None:
    values = np.ones((130, 300), ml_dtypes.float8_e4m3fn)
    scales = np.arange(6, dtype=np.float32).reshape(2, 3)
    unpacked = unpack_scaled(values, scales)
    assert unpacked.shape == (130, 300)
    assert (unpacked[127, 127], unpacked[128, 127], unpacked[127, 128]) == (0.0, 3.0, 1.0)
    assert unpacked[129, 299] == 5.0


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_float8_matrix_of_one_scale(shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.arange(6).reshape(2, 3).astype(ml_dtypes.float8_e4m3fn)
    scale = np.full(shape, 0.5, np.float32)
    tensors = {"k_proj.weight": values, "k_proj.weight_scale": scale}
    beside = {f"k_proj.{name}": scale for name in ("input_scale", "k_scale", "v_scale")}
    save_file(tensors | beside, tmp_path / SINGLE_FILE)
    checkpoint = open_checkpoint(tmp_path)
    assert set(checkpoint.tensors) == {"k_proj.weight"}
    np.testing.assert_array_equal(
        checkpoint.read("k_proj.weight"), np.arange(6, dtype=np.float32).reshape(2, 3) / 2
    )


def test_the_scale_of_activations_alone_is_no_part_of_a_matrix(tmp_path: Path) -> None:
    save_file({"a.input_scale": np.ones(1, np.float32)}, tmp_path / SINGLE_FILE)
    assert set(open_checkpoint(tmp_path).tensors) == {"a.input_scale"}


@pytest.mark.parametrize("suffix", ["weight_scale", "weight_scale_inv"])
@pytest.mark.parametrize(
    ("scales", "factors"),
    [
        (np.array([[2.0], [3.0]]), np.array([[2.0, 2.0], [3.0, 3.0]])),
        (np.array([[2.0]]), np.full((2, 2), 2.0)),
    ],
    ids=["one a row", "one a block"],
)
def test_a_float8_matrix_of_several_scales(
    suffix: str, scales: np.ndarray, factors: np.ndarray, tmp_path: Path
) -> None:
    values = np.arange(4).reshape(2, 2)
    stored = {
        "a.weight": values.astype(ml_dtypes.float8_e4m3fn),
        f"a.{suffix}": scales.astype(ml_dtypes.bfloat16),
        "a.activation_scale": np.ones(1, np.float32),
    }
    save_file(stored, tmp_path / SINGLE_FILE)
    checkpoint = open_checkpoint(tmp_path)
    assert set(checkpoint.tensors) == {"a.weight"}
    np.testing.assert_array_equal(checkpoint.read("a.weight"), values * factors)


def test_integers_of_8_bits_with_a_scale_a_row(tmp_path: Path) -> None:
    values = np.array([[-128, 127], [1, 0]], np.int8)
    scales = np.array([[0.5], [0.25]], np.float32)
    save_file({"a.weight": values, "a.weight_scale": scales}, tmp_path / SINGLE_FILE)
    read = open_checkpoint(tmp_path).read("a.weight")
    np.testing.assert_array_equal(read, [[-64.0, 63.5], [0.25, 0.0]])


def test_scales_in_the_other_direction(tmp_path: Path) -> None:
    tensors = {
        "a.weight": np.ones((3, 2), ml_dtypes.float8_e4m3fn),
        "a.weight_scale": np.ones((1, 2), np.float32),
    }
    check_refused(tensors, tmp_path, r"does not fit its scales of \[1, 2\] in FP8")


def modelopt(**weights: object) -> dict[str, object]:
    group = {"weights": {"dynamic": False, "num_bits": 8, "type": "float"} | weights}
    return {"quant_algo": "FP8", "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


def floats(form: str, **weights: object) -> dict[str, object]:
    """What llm-compressor says of matrices in 8 bits."""
    kind = {"num_bits": 8, "type": form.partition("-")[0], "strategy": "channel", "dynamic": False}
    group = {"weights": kind | weights, "targets": ["Linear"], "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
    }


@pytest.mark.parametrize("form", ["float-quantized", "int-quantized", "naive-quantized"])
def test_what_llm_compressor_says_of_8_bits(form: str) -> None:
    stored = floats(form, type="int" if form.startswith("int") else "float")
    config = Config(GPT_OSS.full_config | {"quantization_config": stored}, "config.json")
    assert read_architecture(config).grouping is None


def test_a_package_of_mxfp4_experts(tmp_path: Path) -> None:
    check_package(write_mxfp4_checkpoint(tmp_path / "c", GPT_OSS), tmp_path / "p")


def test_a_package_of_float8_projections(tmp_path: Path) -> None:
    check_package(write_fp8_checkpoint(tmp_path / "c", TINY_MODELS[0]), tmp_path / "p")


def test_a_package_of_float8_projections_of_one_scale(tmp_path: Path) -> None:
    checkpoint = write_modelopt_checkpoint(tmp_path / "c", TINY_MODELS[0])
    check_package(checkpoint, tmp_path / "p")
    _, original = read_values(write_tiny_checkpoint(tmp_path / "original"))
    _, values = read_values(checkpoint)
    for name, expected in original.items():
        largest = np.abs(expected).max()  # E4M3 has three bits behind the first, rounded
        np.testing.assert_allclose(values[name], expected, rtol=1 / 16, atol=largest / 1000)


def test_float8_without_scales(tmp_path: Path) -> None:
    tensors = {"a.weight": np.ones((2, 2), ml_dtypes.float8_e4m3fn)}
    check_refused(tensors, tmp_path, "stores a.weight as F8_E4M3 without scales")


def test_bytes_without_scales(tmp_path: Path) -> None:
    check_refused({"a_blocks": np.ones((2, 1, 16), np.uint8)}, tmp_path, "a_blocks as U8")


def test_scales_of_another_shape(tmp_path: Path) -> None:
    tensors = {
        "a.weight": np.ones((200, 2), ml_dtypes.float8_e4m3fn),
        "a.weight_scale_inv": np.ones((1, 1), np.float32),
    }
    check_refused(
        tensors, tmp_path, r"a.weight has shape \[200, 2\], which does not fit its scales"
    )


@pytest.mark.parametrize(
    ("stored", "because"),
    [
        ({"quant_method": "bitsandbytes"}, "quant_method = 'bitsandbytes'; only what .* store"),
        (floats("int-quantized", num_bits=4), "num_bits = 4; only 8"),
        (floats("float-quantized", type="int"), "type = 'int'; only 'float'"),
        (floats("float-quantized", block_structure=[64, 64]), "block_structure"),
        (floats("float-quantized", strategy="tensor_group"), "strategy = 'tensor_group'"),
        (floats("int-quantized", symmetric=False), "symmetric = False"),
        ({"quant_method": "fp8", "weight_block_size": [64, 64]}, "weight_block_size"),
        ({"quant_method": "fp8", "fmt": "e5m2"}, "fmt = 'e5m2'"),
        ({"quant_method": "mxfp4", "bits": 3}, "bits = 3"),
        ({"quant_algo": "NVFP4"}, "quant_algo = 'NVFP4'; only 'FP8'"),
        (modelopt(num_bits=4), "num_bits = 4; only 8"),
        (modelopt(group_size=16), "group_size = 16"),
    ],
)
def test_a_storage_that_is_not_read(stored: dict[str, object], because: str) -> None:
    config = Config(GPT_OSS.full_config | {"quantization_config": stored}, "config.json")
    with pytest.raises(UnsupportedError, match=because):
        read_architecture(config)


@pytest.mark.parity
@pytest.mark.filterwarnings("default")
def test_mxfp4_as_transformers_unpacks_it() -> None:
    import torch
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (2, 6, 3, 16), np.uint8)
    scales = random.integers(100, 140, (2, 6, 3), np.uint8)
    original = convert_moe_packed_tensors(
        torch.tensor(blocks), torch.tensor(scales), dtype=torch.float32
    )
    np.testing.assert_array_equal(unpack_mxfp4(blocks, scales), original.numpy())


@pytest.mark.parity
@pytest.mark.filterwarnings("default")
def test_float8_as_transformers_unpacks_it() -> None:
    import torch
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    random = np.random.default_rng(0)
    values = random.standard_normal((256, 384)).astype(ml_dtypes.float8_e4m3fn)
    scales = random.random((2, 3), np.float32)
    stored = torch.tensor(values.view(np.uint8)).view(torch.float8_e4m3fn)
    original = Fp8Dequantize(None)._dequantize_one(stored, torch.tensor(scales), torch.float32)
    np.testing.assert_array_equal(unpack_scaled(values, scales), original.numpy())
