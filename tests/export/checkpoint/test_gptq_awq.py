"""grouped: what GPTQ, AWQ and llm-compressor rounded is read, and taken over bit for bit."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.checkpoint.gptq_awq import Grouping, grouped_shape, unpack_integers, widen
from export.checkpoint.safetensors import open_checkpoint
from export.cli import export
from export.errors import CheckpointError, UnsupportedError
from export.inspection import in_words, inspect_checkpoint
from export.options import ExportOptions
from export.original import open_original
from export.package.to_checkpoint import write_checkpoint
from export.pipeline import export_checkpoint
from export.quantization.blockwise import dequantize
from export.quantization.rounding import Grid, nearest
from export.spec.oracle import forward
from inference.package.manifest import MODEL_FILE, ModelManifest
from inference.runtime.onnx import OnnxModel
from tests.support.exported import (
    TOKEN_IDS,
    compute_with_float_activations,
    no_progress,
    read_tokens,
    tiny_options,
)
from tests.support.grouped_checkpoints import (
    METHOD_KEYS,
    Stored,
    all_parts,
    random_matrix,
    write_grouped_checkpoint,
)
from tests.support.tiny_checkpoints import BASE_CONFIG, TINY_MODELS, TinyModel

NUM_MATRICES = 2 * (4 + 3)
"""Of the plain tiny model, each expert stack counted once."""

WIDE = TinyModel("wide", 1, {"moe_intermediate_size": 64})
"""No row is one block of 32."""

TABLES = Grid(bits=8, block_size=32)
"""What embedding and head are rounded to, whatever the matrices are."""

TOLERANCE = 5e-4
LAYOUTS = ["gptq", "gptq_v2", "awq", "pack-quantized"]
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@settings(deadline=None, max_examples=40)
@given(
    layout=st.sampled_from(LAYOUTS),
    bits=st.sampled_from([4, 8]),
    group_size=st.sampled_from([-1, 8, 32, 48]),
    is_reordered=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_integer_comes_back(
    layout: Any, bits: int, group_size: int, is_reordered: bool, seed: int
) -> None:
    bits = 4 if layout == "awq" else bits
    stored = Stored(
        layout=layout,
        bits=bits,
        group_size=group_size,
        is_reordered=is_reordered and layout != "awq",
    )
    random = np.random.default_rng(seed)
    integers, zeros, scales, groups = random_matrix(random, (24, 96), stored)
    grouping = Grouping(layout=layout, bits=bits, group_size=group_size, is_reordered=False)
    stored_parts = all_parts(stored, integers, zeros, scales, groups)
    parts = {
        part: stored_parts[name] for part, name in grouping.parts.items() if name in stored_parts
    }
    assert grouped_shape(grouping, {part: array.shape for part, array in parts.items()}) == (24, 96)
    found = unpack_integers(grouping, parts, "m")
    np.testing.assert_array_equal(found.values, integers)
    np.testing.assert_array_equal(found.zeros, zeros.T)
    np.testing.assert_array_equal(found.scales, scales.T)
    expected = (integers - zeros.T[:, groups].astype(np.float32)) * scales.T[:, groups]
    np.testing.assert_array_equal(widen(found), expected)


def test_a_word_of_gptq_spelled_out() -> None:
    grouping = Grouping(layout="gptq", bits=4, group_size=8, is_reordered=False)
    parts = {
        "qweight": np.array([[0x76543210] * 8], np.uint32).view(np.int32),
        "qzeros": np.array([[0x77777777]], np.uint32).view(np.int32),
        "scales": np.full((1, 8), 0.5, np.float16),
    }
    row = [-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5]
    np.testing.assert_array_equal(widen(unpack_integers(grouping, parts, "m")), [row] * 8)


def test_a_word_of_awq_spelled_out() -> None:
    grouping = Grouping(layout="awq", bits=4, group_size=1, is_reordered=False)
    parts = {
        "qweight": np.array([[0x75316420]], np.uint32).view(np.int32),
        "qzeros": np.array([[0x00000001]], np.uint32).view(np.int32),
        "scales": np.full((1, 8), 1.0, np.float16),
    }
    found = widen(unpack_integers(grouping, parts, "m"))
    np.testing.assert_array_equal(found[:, 0], [-1, 1, 2, 3, 4, 5, 6, 7])


def test_a_word_of_llm_compressor_spelled_out() -> None:
    grouping = Grouping(layout="pack-quantized", bits=4, group_size=4, is_reordered=False)
    parts = {
        "qweight": np.array([[0x76543210]], np.uint32).view(np.int32),
        "qzeros": np.array([[0x1, 0x7]], np.uint32).view(np.int32),
        "scales": np.array([[0.5, 2.0]], np.float16),
    }
    row = [-0.5, 0.0, 0.5, 1.0, -6.0, -4.0, -2.0, 0.0]
    np.testing.assert_array_equal(widen(unpack_integers(grouping, parts, "m")), [row])
    del parts["qzeros"]
    row = [-4.0, -3.5, -3.0, -2.5, -8.0, -6.0, -4.0, -2.0]
    np.testing.assert_array_equal(widen(unpack_integers(grouping, parts, "m")), [row])


def check(
    folder: Path,
    stored: Stored,
    *,
    taken_over: int,
    rounded_again: int = 0,
    model: TinyModel = TINY_MODELS[0],
    **options: Any,
) -> ModelManifest:
    """What is taken over loses nothing: the package computes what the checkpoint's values say."""
    values = write_grouped_checkpoint(folder / "c", stored, model)
    options = {"block_size": None, "precision": "int4"} | options
    package = folder / "p"
    manifest = export_checkpoint(
        str(folder / "c"), package, tiny_options(**options), progress=no_progress
    )
    counts = {"taken_over": taken_over, "rounded_again": rounded_again}
    assert manifest.quality["stored"] == {"as": stored.layout} | counts
    spec, found = open_original(str(folder / "c"))
    np.testing.assert_array_equal(
        found["layers.1.attention.query"], values["model.layers.1.self_attn.q_proj.weight"]
    )
    np.testing.assert_array_equal(
        found["layers.0.moe.down"][2], values["model.layers.0.mlp.experts.2.down_proj.weight"]
    )
    error = manifest.quality["weight_error"]
    assert ("expert" in error) == (rounded_again > 0)
    assert set(error) >= {"embedding", "head"}
    if not rounded_again:
        exact = shutil.copytree(package, folder / "exact")
        compute_with_float_activations(exact / MODEL_FILE)
        model_of_it = OnnxModel.load(exact, manifest)
        logits = read_tokens(model_of_it, model_of_it.create_cache(), TOKEN_IDS)
        tables = {name: dequantize(nearest(found[name], TABLES)) for name in ("embedding", "head")}
        expected = forward(spec, {**found, **tables}, TOKEN_IDS)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
    return manifest


@every_layout
def test_integers_are_taken_over(layout: str, tmp_path: Path) -> None:
    manifest = check(tmp_path, Stored(layout), taken_over=NUM_MATRICES)
    assert manifest.block_size == 32


def test_integers_without_zeros_of_their_own_have_a_way_back(tmp_path: Path) -> None:
    stored = Stored("gptq", is_symmetric=True)
    check(tmp_path, stored, taken_over=NUM_MATRICES)
    write_checkpoint(tmp_path / "p", tmp_path / "back")
    _, before = open_original(str(tmp_path / "c"))
    _, back = open_original(str(tmp_path / "back"))
    for name in before.keys() - {"embedding", "head"}:
        np.testing.assert_array_equal(back[name], before[name])


def test_matrices_that_were_left_alone_are_rounded_beside_them(tmp_path: Path) -> None:
    """They lie in one operator with those that have zeros of their own."""
    stored = Stored("awq", names=("q_proj.weight", "v_proj.weight", "down_proj.weight"))
    values = write_grouped_checkpoint(tmp_path / "c", stored)
    options = tiny_options(block_size=None)
    manifest = export_checkpoint(str(tmp_path / "c"), tmp_path / "p", options, progress=no_progress)
    assert manifest.quality["stored"]["taken_over"] == 6
    assert {"expert", "projection"} < set(manifest.quality["weight_error"])
    assert set(values) >= {"model.layers.0.self_attn.k_proj.weight"}


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_eight_bits_are_taken_over_by_int8(
    is_symmetric: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORT_QMOE_CPU_QNBIT_GEMM", "0")  # as in test_decoder: it multiplies floats
    stored = Stored("gptq", bits=8, is_symmetric=is_symmetric)
    check(tmp_path, stored, taken_over=NUM_MATRICES, precision="int8")


def test_integers_around_the_middle_are_taken_over(tmp_path: Path) -> None:
    check(tmp_path, Stored("pack-quantized", is_symmetric=True), taken_over=NUM_MATRICES)


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        (Stored("pack-quantized", is_reordered=True), {}),
        (Stored("pack-quantized", group_size=-1), {"block_size": 32}),
        (Stored("gptq", is_reordered=True, keys={"desc_act": True}), {}),
        (Stored("gptq", group_size=-1), {"block_size": 32}),
        (Stored("gptq", group_size=16), {"block_size": 32}),
        (Stored("gptq", bits=8), {}),
        (Stored("awq"), {"precision": "int8"}),
    ],
    ids=[
        *("words reordered", "words of whole rows"),
        *("reordered", "whole rows", "smaller groups", "more bits", "fewer bits"),
    ],
)
def test_what_does_not_fit_is_rounded_again(
    stored: Stored, options: dict[str, Any], tmp_path: Path
) -> None:
    options = {"model": WIDE} | options
    check(tmp_path, stored, taken_over=0, rounded_again=NUM_MATRICES, **options)


def test_another_block_size_is_a_wish_to_round_again(tmp_path: Path) -> None:
    stored = Stored("gptq", group_size=64)
    check(tmp_path, stored, taken_over=0, rounded_again=NUM_MATRICES, model=WIDE, block_size=32)


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (Stored("gptq"), "gptq, 4 bits in groups of 32, taken over as they are by int4"),
        (Stored("awq"), "awq, 4 bits in groups of 32, taken over as they are by int4"),
        (Stored("pack-quantized"), "pack-quantized, 4 bits in groups of 32, taken over as they"),
        (
            Stored("gptq", keys={"desc_act": True}),
            "gptq, 4 bits in groups of 32 in any order, rounded again",
        ),
        (Stored("gptq", group_size=16), "groups of 16, rounded again in blocks of 32"),
    ],
)
def test_an_inspection_tells_what_becomes_of_them(
    stored: Stored, says: str, tmp_path: Path
) -> None:
    write_grouped_checkpoint(tmp_path / "c", stored)
    told = inspect_checkpoint(str(tmp_path / "c"), ExportOptions())
    assert says in in_words(told)
    assert told.tensors == f"45 tensors of F16, {stored.layout} int4, each with its place"


def test_the_command_tells_what_was_taken_over(tmp_path: Path) -> None:
    write_grouped_checkpoint(tmp_path / "c", Stored("awq"))
    arguments = [str(tmp_path / "c"), "--output", str(tmp_path / "p"), "--accept-quality"]
    said = CliRunner().invoke(export, arguments, catch_exceptions=False).output
    assert "14 awq matrices taken over as they are and 0 rounded again" in said


def test_mixed_widths_are_not_chosen_for_what_is_rounded_already(tmp_path: Path) -> None:
    write_grouped_checkpoint(tmp_path / "c", Stored("awq"))
    options = tiny_options(precision="int4-quality")
    with pytest.raises(UnsupportedError, match="awq has rounded this checkpoint already; use int4"):
        export_checkpoint(str(tmp_path / "c"), tmp_path / "p", options, progress=no_progress)


def test_no_graph_for_cuda_of_what_is_rounded_already(tmp_path: Path) -> None:
    write_grouped_checkpoint(tmp_path / "c", Stored("gptq"))
    options = tiny_options(device="cuda")
    with pytest.raises(UnsupportedError, match="what gptq rounded has no graph for CUDA"):
        export_checkpoint(str(tmp_path / "c"), tmp_path / "p", options, progress=no_progress)


@pytest.mark.parametrize(
    ("layout", "keys", "because"),
    [
        ("gptq", {"bits": 3}, "bits = 3; only 4 or 8"),
        ("gptq", {"bits": 2}, "bits = 2; only 4 or 8"),
        ("awq", {"bits": 8}, "bits = 8; only 4"),
        ("gptq", {"checkpoint_format": "marlin"}, "checkpoint_format = 'marlin'"),
        ("gptq", {"format": "bitblas"}, "format = 'bitblas'"),
        ("gptq", {"is_marlin_format": True}, "is_marlin_format = True"),
        ("gptq", {"pack_dtype": "int64"}, "pack_dtype = 'int64'"),
        ("gptq", {"dynamic": {"+:.*gate.*": {"bits": 8}}}, "dynamic = "),
        ("gptq", {"adapter": {"name": "lora"}}, "adapter = "),
        ("awq", {"version": "gemv"}, "version = 'gemv'"),
        ("awq", {"version": "gemv_fast"}, "version = 'gemv_fast'"),
        ("awq", {"backend": "llm-awq"}, "backend = 'llm-awq'"),
        ("gptq", {"quant_method": "hqq"}, "quant_method = 'hqq'"),
    ],
)
def test_a_layout_that_is_not_read(layout: str, keys: dict[str, Any], because: str) -> None:
    stored = {"bits": 4, "group_size": 128} | METHOD_KEYS[layout] | keys
    config = Config(BASE_CONFIG | {"quantization_config": stored}, "config.json")
    with pytest.raises(UnsupportedError, match=because):
        read_architecture(config)


WORDS = Stored("pack-quantized").config
ROTATED = {"config_groups": {"R4": {"type": "hadamard", "apply": [{"location": "input"}]}}}


def compressed(**weights: Any) -> dict[str, Any]:
    group = WORDS["config_groups"]["group_0"]
    return {"config_groups": {"group_0": group | {"weights": group["weights"] | weights}}}


@pytest.mark.parametrize(
    ("keys", "because"),
    [
        ({"format": "nvfp4-pack-quantized"}, "format = 'nvfp4-pack-quantized'; only"),
        ({"format": "marlin-24"}, "format = 'marlin-24'; only"),
        ({"quantization_status": "initialized"}, "quantization_status = 'initialized'"),
        ({"sparsity_config": {"format": "sparse-24-bitmask"}}, "format = 'sparse-24-bitmask'"),
        ({"transform_config": ROTATED}, "R4 with location = 'input': a rotation of activations"),
        (
            {
                "config_groups": {
                    **WORDS["config_groups"],
                    "b": compressed(num_bits=8)["config_groups"]["group_0"],
                }
            },
            "config_groups of 2 kinds, and matrices are read that are all stored in one way",
        ),
        ({"config_groups": {}}, "config_groups of 0 kinds"),
        (compressed(num_bits=3), "num_bits = 3; only 4 or 8"),
        (compressed(type="float"), "type = 'float'; only 'int'"),
        (compressed(dynamic=True), "dynamic = True; only False"),
        (compressed(strategy="tensor"), "strategy = 'tensor'; only 'group' or 'channel'"),
        (compressed(mystery=1), "mystery = 1, which is not implemented"),
        ({"mystery": 1}, "mystery = 1, which is not implemented"),
    ],
)
def test_words_of_a_kind_that_is_not_read(keys: dict[str, Any], because: str) -> None:
    config = Config(BASE_CONFIG | {"quantization_config": WORDS | keys}, "config.json")
    with pytest.raises(UnsupportedError, match=because):
        read_architecture(config)


def test_a_rotation_that_is_in_the_weights_is_read() -> None:
    steps = [{"location": place} for place in ("weight_input", "weight_output")]
    rotated = {"config_groups": {"R1": {"type": "hadamard", "apply": steps}}}
    keys = {"transform_config": rotated, "sparsity_config": {}, "kv_cache_scheme": {"num_bits": 8}}
    config = Config(BASE_CONFIG | {"quantization_config": WORDS | keys}, "config.json")
    assert read_architecture(config).grouping is not None


@pytest.mark.parametrize(
    ("layout", "keys"),
    [
        ("gptq", {"checkpoint_format": None, "format": "gptq_v2", "meta": {"quantizer": "x"}}),
        ("gptq", {"dynamic": {"-:.*gate$": {}}, "damp_percent": 0.01, "lm_head": False}),
        ("awq", {"version": "GEMM", "modules_to_not_convert": ["gate"], "backend": "autoawq"}),
    ],
)
def test_what_only_tells_how_it_was_made(layout: str, keys: dict[str, Any]) -> None:
    stored = {"bits": 4, "group_size": 128} | METHOD_KEYS[layout] | keys
    config = Config(BASE_CONFIG | {"quantization_config": stored}, "config.json")
    grouping = read_architecture(config).grouping
    expected = "gptq_v2" if keys.get("format") else layout
    assert grouping is not None
    assert (grouping.layout, grouping.bits, grouping.group_size) == (expected, 4, 128)


Change = Callable[[dict[str, np.ndarray[Any, Any]]], object]
NAME = "model.layers.0.self_attn.q_proj."


def check_refused(folder: Path, change: Change, because: str) -> None:
    write_grouped_checkpoint(folder / "c", Stored("gptq"))
    path = folder / "c" / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises((CheckpointError, UnsupportedError), match=because):
        export_checkpoint(str(folder / "c"), folder / "p", tiny_options(), progress=no_progress)
    assert not (folder / "p").exists()


def test_zeros_that_are_missing(tmp_path: Path) -> None:
    check_refused(tmp_path, lambda tensors: tensors.pop(f"{NAME}qzeros"), "q_proj.qzeros")


def test_scales_of_another_size(tmp_path: Path) -> None:
    change = {f"{NAME}scales": np.ones((3, 64), np.float16)}
    check_refused(
        tmp_path, lambda tensors: tensors.update(change), r"do not fit .* scales \[3, 64\]"
    )


def test_scales_that_are_not_finite(tmp_path: Path) -> None:
    change = {f"{NAME}scales": np.full((2, 64), np.inf, np.float16)}
    check_refused(tmp_path, lambda tensors: tensors.update(change), "q_proj.* not finite")


def test_a_group_that_is_not_there(tmp_path: Path) -> None:
    change = {f"{NAME}g_idx": np.full(64, 2, np.int32)}
    check_refused(tmp_path, lambda tensors: tensors.update(change), "names groups beside its 2")


def test_a_matrix_that_is_there_twice(tmp_path: Path) -> None:
    change = {f"{NAME}weight": np.ones((64, 64), np.float16)}
    check_refused(tmp_path, lambda tensors: tensors.update(change), "q_proj.weight twice")


def test_integers_that_the_config_does_not_know(tmp_path: Path) -> None:
    write_grouped_checkpoint(tmp_path / "c", Stored("gptq"))
    with pytest.raises(UnsupportedError, match="g_idx as I32 without scales that are known"):
        open_checkpoint(tmp_path / "c")
