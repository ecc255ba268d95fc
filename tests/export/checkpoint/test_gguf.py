"""gguf: the package of a GGUF file is that of the checkpoint that it was made from."""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from gguf.constants import GGMLQuantizationType as Kind
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from export.checkpoint.gguf.checkpoint import open_gguf
from export.cli import export
from export.errors import ExportError
from export.inspection import in_words, inspect_checkpoint
from export.original import open_original
from export.pipeline import export_checkpoint
from export.quality.verify_command import check_package
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
from tests.support.gguf_files import Tensors, write_gguf_file
from tests.support.gguf_models import GGUF_MODELS
from tests.support.raw_gguf import taken_apart
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint

Float32 = np.ndarray[Any, np.dtype[np.float32]]
BY_NAME = {model.name: model for model in GGUF_MODELS}
NUM_MATRICES = 4 + 3
"""Of a layer, a stack of experts counted once."""

WORKED_OUT = (
    *("qwen3_next", "qwen3_5", "gemma", "llama-frequencies", "phimoe-long", "phi3-long"),
    *("hunyuan", "bailing_moe", "granitemoehybrid", "nemotron_h"),
)
"""Models of which a file has numbers that were worked out of the checkpoint's, in float32."""

READ_AS = {"glm4_moe_lite": "deepseek_v3", "bailing_moe_v2": "bailing_moe"}
"""Types that a file does not tell from others of the same mathematics."""

TABLES = Grid(bits=8, block_size=32)
"""What embedding and head are rounded to by int4."""


def exported(source: Path, package: Path, **options: Any) -> tuple[ModelManifest, Float32]:
    settled = tiny_options(fim_order="psm", **options)  # else what random weights read better
    manifest = export_checkpoint(str(source), package, settled, progress=no_progress)
    model = OnnxModel.load(package, manifest)
    return manifest, read_tokens(model, model.create_cache(), TOKEN_IDS)


def check(folder: Path, model: TinyModel, kind: Kind = Kind.F32) -> None:
    """The package of a file is that of its checkpoint, to the bit where it is stored so."""
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", model)
    path = write_gguf_file(folder / "model.gguf", checkpoint, kind)
    manifest, found = exported(path, folder / "of the file", precision="f32")
    before, expected = exported(checkpoint, folder / "of the folder", precision="f32")
    assert manifest.architecture == before.architecture
    assert manifest.eos_token_ids == before.eos_token_ids
    assert manifest.fim == before.fim
    assert manifest.leading_token_ids == ()
    tolerance = 0.0 if kind == Kind.F32 else 0.1 * float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def check_read(folder: Path, model: TinyModel, *, are_experts_apart: bool = False) -> Path:
    """What is read of a file computes the same as its checkpoint."""
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", model)
    path = write_gguf_file(folder / "model.gguf", checkpoint, are_experts_apart=are_experts_apart)
    expected = forward(*open_original(str(checkpoint)), TOKEN_IDS)
    found = forward(*open_original(str(path)), TOKEN_IDS)
    share = 1e-5 if model.name.startswith(WORKED_OUT) else 0.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * np.abs(expected).max())
    return path


@pytest.mark.parametrize("model", GGUF_MODELS, ids=lambda model: model.name)
def test_every_architecture(model: TinyModel, tmp_path: Path) -> None:
    path = check_read(tmp_path, model)
    words = in_words(inspect_checkpoint(str(path), tiny_options()))
    assert "tensors of F32, each with its place" in words
    model_type = model.full_config["model_type"]
    assert f"model: {READ_AS.get(model_type, model_type)}" in words


@pytest.mark.parametrize("name", ["llama", "qwen2", "plain", "gpt_oss"])
def test_a_package(name: str, tmp_path: Path) -> None:
    check(tmp_path, BY_NAME[name])


@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe", "granitemoe"])
def test_experts_that_lie_apart(name: str, tmp_path: Path) -> None:
    check_read(tmp_path, BY_NAME[name], are_experts_apart=True)


def check_spelled(folder: Path, name: str, change: Callable[[Tensors], Tensors]) -> Path:
    """What another version of the converter writes is read to the same numbers."""
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", BY_NAME[name])
    now = write_gguf_file(folder / "now.gguf", checkpoint)
    other = write_gguf_file(folder / "other.gguf", checkpoint, change=change)
    _, expected = open_original(str(now))
    _, found = open_original(str(other))
    assert found.keys() == expected.keys()
    for slot in expected:
        np.testing.assert_array_equal(found[slot], expected[slot])
    return other


def with_gates_beside_ups(tensors: Tensors) -> Tensors:
    for name in [name for name in tensors if name.endswith("ffn_gate_exps.weight")]:
        up = tensors.pop(name.replace("gate", "up"))
        tensors[name.replace("gate", "gate_up")] = np.concatenate([tensors.pop(name), up], axis=1)
    return tensors


@pytest.mark.parametrize("name", ["plain", "glm4_moe", "deepseek_v3"])
def test_gates_and_ups_of_experts_in_one_tensor(name: str, tmp_path: Path) -> None:
    check_spelled(tmp_path, name, with_gates_beside_ups)


def with_whole_latents(tensors: Tensors) -> Tensors:
    """As files of before April 2025 have them."""
    for name in [name for name in tensors if "attn_k_b" in name]:
        value = tensors.pop(name.replace("k_b", "v_b"))
        rows = np.concatenate([tensors.pop(name).swapaxes(1, 2), value], axis=1)
        tensors[name.replace("k_b", "kv_b")] = rows.reshape(-1, rows.shape[2])
    return tensors


@pytest.mark.parametrize("name", ["deepseek_v3", "deepseek_v2-lite"])
def test_keys_and_values_of_latents_in_one_tensor(name: str, tmp_path: Path) -> None:
    path = check_spelled(tmp_path, name, with_whole_latents)
    parts = taken_apart(path)
    for key, size in (("key", 32 + 16), ("value", 32)):  # said as of heads then
        parts.remove(f"deepseek2.attention.{key}_length_mla")
        parts.set(f"deepseek2.attention.{key}_length", size)
    parts.set("deepseek2.attention.head_count_kv", 4)
    (tmp_path / "older.gguf").write_bytes(parts.encoded())
    assert open_original(str(tmp_path / "older.gguf"))[0] == open_original(str(path))[0]


def test_inputs_of_states_as_the_checkpoint_has_them(tmp_path: Path) -> None:
    """As the first files of Qwen3-Next do."""

    def change(tensors: Tensors) -> Tensors:
        stored = load_file(tmp_path / "checkpoint" / "model.safetensors")
        for name in [name for name in tensors if "attn_gate" in name]:
            layer = name.split(".")[1]
            del tensors[name], tensors[name.replace("gate", "qkv")]
            whole = stored[f"model.layers.{layer}.linear_attn.in_proj_qkvz.weight"]
            tensors[f"blk.{layer}.ssm_in.weight"] = whole
        return tensors

    check_spelled(tmp_path, "qwen3_next", change)


def test_layers_that_predict_further_tokens_are_left_out(tmp_path: Path) -> None:
    def change(tensors: Tensors) -> Tensors:
        last = {name: part for name, part in tensors.items() if name.startswith("blk.1.")}
        behind = {name.replace("blk.1.", "blk.2."): part for name, part in last.items()}
        return {**tensors, **behind, "blk.2.nextn.eh_proj.weight": np.ones((64, 128), np.float32)}

    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME["glm4_moe"])
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint, change=change)
    with pytest.raises(ExportError, match=r"blk\.2\..* has no place in this model"):
        open_original(str(path))
    parts = taken_apart(path)
    parts.set("glm4moe.block_count", 3)
    parts.set("glm4moe.nextn_predict_layers", 1)
    path.write_bytes(parts.encoded())
    spec, values = open_original(str(path))
    before, expected = open_original(str(checkpoint))
    assert spec == before
    assert values.keys() == expected.keys()


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["llama", "plain", "deepseek_v3", "qwen3_5_moe_text"])
def test_halves(name: str, kind: Kind, tmp_path: Path) -> None:
    check(tmp_path, BY_NAME[name], kind)


def check_taken_over(
    folder: Path, name: str, kind: Kind, precision: str, *, taken: int, again: int = 0
) -> None:
    """What is taken over loses nothing: the package computes what the file's values say.

    What is rounded `again` are embedding and head, to 8 bits.
    """
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", BY_NAME[name])
    path = write_gguf_file(folder / "model.gguf", checkpoint, kind)
    manifest, _ = exported(path, folder / "package", precision=precision, block_size=32)
    figures = {"as": "gguf", "taken_over": taken, "rounded_again": again}
    assert manifest.quality["stored"] == figures
    rounded = {"embedding", "head"} if again else set[str]()
    assert set(manifest.quality.get("weight_error", {})) == rounded
    compute_with_float_activations(folder / "package" / MODEL_FILE)
    model = OnnxModel.load(folder / "package", manifest)
    logits = read_tokens(model, model.create_cache(), TOKEN_IDS)
    spec, values = open_original(str(path))
    tables = {table: dequantize(nearest(values[table], TABLES)) for table in rounded}
    expected = forward(spec, {**values, **tables}, TOKEN_IDS)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=5e-4)


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_q8_0_is_what_int8_computes_with(name: str, tmp_path: Path) -> None:
    tables = 1 if name == "qwen2" else 2
    check_taken_over(tmp_path, name, Kind.Q8_0, "int8", taken=2 * NUM_MATRICES + tables)


@pytest.mark.parametrize("name", ["llama", "wide"])
def test_q4_0_is_what_int4_computes_with(name: str, tmp_path: Path) -> None:
    check_taken_over(tmp_path, name, Kind.Q4_0, "int4", taken=2 * NUM_MATRICES, again=2)


def test_q5_0_is_held_by_int8(tmp_path: Path) -> None:
    check_taken_over(tmp_path, "llama", Kind.Q5_0, "int8", taken=2 * NUM_MATRICES + 2)


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.MXFP4], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("name", "taken", "again"),
    [
        ("granitemoe", 2 * NUM_MATRICES + 1, 0),
        ("gpt_oss", 3 * NUM_MATRICES + 2, 0),
        ("qwen3_next", 3 * 2 + 4 + 4 * (3 + 3) + 2, 0),
        # Columns of what reads a state out lie in another order.
        ("qwen3_5_moe_text", 2 * 2 + 2 * 4 + 4 * (3 + 3) + 2, 2),
        # The parts of a latent's keys lie across the rows of the matrix.
        ("deepseek_v3", 2 * (4 + 3) + 3 + 2, 2),
    ],
)
def test_what_int8_holds(name: str, kind: Kind, taken: int, again: int, tmp_path: Path) -> None:
    """Integers and scales stand for the very numbers that are read otherwise."""
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME[name])
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint, kind)
    opened = open_gguf(path).checkpoint
    for tensor in opened.tensors:
        found = opened.integers(tensor, bits=8, block_size=32)
        if found is not None:
            middled = found.values.astype(np.float32) - found.zeros[:, found.groups]
            read = opened.read(tensor)
            np.testing.assert_array_equal(middled * found.scales[:, found.groups], read)
    manifest, _ = exported(path, tmp_path / "package", precision="int8", block_size=32)
    figures = {"as": "gguf", "taken_over": taken, "rounded_again": again}
    assert manifest.quality["stored"] == figures


def test_what_has_a_smallest_value_is_rounded_again(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME["llama"])
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint, Kind.Q4_1)
    manifest, _ = exported(path, tmp_path / "package", precision="int4")
    figures = {"as": "gguf", "taken_over": 0, "rounded_again": 2 * NUM_MATRICES + 2}
    assert manifest.quality["stored"] == figures


def test_the_command_says_what_was_taken_over(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME["llama"])
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint, Kind.Q8_0)
    arguments = [str(path), "-o", str(tmp_path / "package"), "--precision", "int8"]
    arguments += ["--block-size", "32", "--accept-quality"]
    done = CliRunner().invoke(export, arguments, catch_exceptions=False)
    assert "16 gguf matrices taken over as they are and 0 rounded again" in done.output


def test_a_file_under_other_spellings_of_its_name(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME["qwen2"])
    path = write_gguf_file(tmp_path / "Model-Q8_0.GGUF", checkpoint, Kind.Q8_0)
    assert inspect_checkpoint(str(path), tiny_options()).name == "Model-Q8_0"
    assert inspect_checkpoint(f"{path}/", tiny_options()).name == "Model-Q8_0"
    for missing in (tmp_path / "none.gguf", Path("nobody/none.gguf")):
        with pytest.raises(ExportError, match="there is no file"):
            inspect_checkpoint(str(missing), tiny_options())


def test_a_package_is_verified_against_the_file(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME["qwen3"])
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint, Kind.Q8_0)
    exported(path, tmp_path / "package", precision="int8")
    verified = check_package(tmp_path / "package", against=str(path), num_tokens=64, limit=0.0)
    assert verified.agreement is not None


def test_no_folder_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by an export that is refused."""
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME["qwen2"])
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    exported(path, tmp_path / "package", precision="f32")
    with pytest.raises(ExportError, match="context length"):
        exported(path, tmp_path / "other", context_length=1 << 20)
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_tied_matrix_that_is_stored_twice_is_read_once(tmp_path: Path) -> None:
    """Of two roundings the one of more bits serves, as embedding and as head."""
    model = BY_NAME["qwen2"]
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", model)
    path = write_gguf_file(tmp_path / "twice.gguf", checkpoint, Kind.Q4_0, head=Kind.Q8_0)
    spec, values = open_original(str(path))
    assert spec.tie_word_embeddings
    _, exact = open_original(str(checkpoint))
    error = np.abs(values["embedding"] - exact["embedding"]).max()
    assert 0 < error < 0.01 * np.abs(exact["embedding"]).max()


def test_a_head_of_its_own_is_kept(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", BY_NAME["llama"])
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint, Kind.Q8_0)
    spec, _ = open_original(str(path))
    assert not spec.tie_word_embeddings
