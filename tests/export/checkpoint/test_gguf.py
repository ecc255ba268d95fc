"""gguf: the package of a GGUF file is that of the checkpoint that it was made from."""

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from gguf.constants import GGMLQuantizationType as Kind

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
from tests.support.gguf_files import write_gguf_file
from tests.support.gguf_models import GGUF_MODELS
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint

Float32 = np.ndarray[Any, np.dtype[np.float32]]
BY_NAME = {model.name: model for model in GGUF_MODELS}
NUM_MATRICES = 4 + 3
"""Of a layer, a stack of experts counted once."""

WORKED_OUT = ("qwen3_next", "llama-frequencies", "phimoe-long")
"""Models of which a file has numbers that were worked out of the checkpoint's, in float32."""

TABLES = Grid(bits=8, block_size=32)
"""What embedding and head are rounded to by int4."""


def exported(source: Path, package: Path, **options: Any) -> tuple[ModelManifest, Float32]:
    settled = tiny_options(fim_order="psm", **options)  # else what random weights read better
    manifest = export_checkpoint(str(source), package, settled, progress=no_progress)
    model = OnnxModel.load(package, manifest)
    return manifest, read_tokens(model, model.create_cache(), TOKEN_IDS)


def check(
    folder: Path, model: TinyModel, kind: Kind = Kind.F32, *, are_experts_apart: bool = False
) -> Path:
    """The file of a checkpoint computes the same in float32, to the bit where it is stored so."""
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", model)
    path = write_gguf_file(
        folder / "model.gguf", checkpoint, kind, are_experts_apart=are_experts_apart
    )
    manifest, found = exported(path, folder / "of the file", precision="f32")
    before, expected = exported(checkpoint, folder / "of the folder", precision="f32")
    assert manifest.architecture == before.architecture
    assert manifest.eos_token_ids == before.eos_token_ids
    assert manifest.fim == before.fim
    assert manifest.leading_token_ids == ()
    share = 0.1 if kind != Kind.F32 else 1e-5 if model.name.startswith(WORKED_OUT) else 0.0
    tolerance = share * float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    return path


@pytest.mark.parametrize("model", GGUF_MODELS, ids=lambda model: model.name)
def test_every_architecture(model: TinyModel, tmp_path: Path) -> None:
    path = check(tmp_path, model)
    words = in_words(inspect_checkpoint(str(path), tiny_options()))
    assert "tensors of F32, each with its place" in words
    assert f"model: {model.full_config['model_type']}" in words


def test_experts_that_lie_apart(tmp_path: Path) -> None:
    check(tmp_path, BY_NAME["mixtral"], are_experts_apart=True)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["llama", "plain"])
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
