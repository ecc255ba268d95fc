"""inspection: what is told before an export is what the export then gives."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from export.cli import export
from export.errors import UnsupportedError
from export.inspection import Inspection, in_words, inspect_checkpoint
from export.options import ExportOptions
from export.pipeline import export_checkpoint
from inference.package.manifest import Precision
from tests.support.exported import no_progress, tiny_options
from tests.support.shipped import shipped_checkpoint
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, write_tiny_checkpoint
from tests.support.tiny_families import FAMILY_MODELS

ROOT = Path(__file__).parent.parent.parent


def inspected(folder: Path, model: TinyModel = TINY_MODELS[0], **options: int) -> Inspection:
    checkpoint = write_tiny_checkpoint(folder / "tiny", model)
    return inspect_checkpoint(str(checkpoint), ExportOptions(**{"block_size": 32} | options))


@pytest.mark.parametrize("precision", ["f32", "f16", "int8", "int4"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_size_is_that_of_the_package(precision: Precision, tied: bool, tmp_path: Path) -> None:
    config = {"hidden_size": 128, "moe_intermediate_size": 256, "num_experts": 16}
    model = TinyModel("larger", 1, config | {"tie_word_embeddings": tied})
    told = inspected(tmp_path, model)
    options = tiny_options(precision=precision)
    package = tmp_path / "package"
    manifest = export_checkpoint(str(tmp_path / "tiny"), package, options, progress=no_progress)
    size = told.packages[precision].num_bytes
    assert size is not None
    # The graph itself and the pages that weights begin at count in a model as small as this.
    assert size == pytest.approx(manifest.num_bytes, rel=0.05)
    assert (told.parameters, told.active_parameters) == (
        manifest.parameters.total,
        manifest.parameters.active,
    )
    assert told.architecture == manifest.architecture
    # In which order a hole is shown, and with what tail, is measured when the weights are there.
    assert told.fim is not None
    assert manifest.fim == msgspec.structs.replace(
        told.fim, order=manifest.fim.order, num_tail_tokens=manifest.fim.num_tail_tokens
    )
    assert told.eos_token_ids == manifest.eos_token_ids


@pytest.mark.parametrize("precision", ["f16", "int8", "int4"])
@pytest.mark.parametrize("block_size", [32, 64])
def test_the_size_with_a_graph_for_cuda(
    precision: Precision, block_size: int, tmp_path: Path
) -> None:
    config = {"hidden_size": 128, "moe_intermediate_size": 256, "num_experts": 16}
    told = inspected(tmp_path, TinyModel("larger", 1, config), block_size=block_size)
    options = tiny_options(precision=precision, block_size=block_size, device="cuda")
    package = tmp_path / "package"
    manifest = export_checkpoint(str(tmp_path / "tiny"), package, options, progress=no_progress)
    size = told.packages[precision].num_bytes_cuda
    assert size == pytest.approx(manifest.num_bytes, rel=0.08)
    assert "with CUDA" in in_words(told)


def test_what_has_no_graph_for_cuda_is_told(tmp_path: Path) -> None:
    told = inspected(tmp_path)
    assert "no graph for CUDA" in str(told.packages["f32"].problem_cuda)
    assert "multiples of 64" in str(told.packages["int4"].problem_cuda)
    assert told.packages["int4"].num_bytes is not None


def test_the_size_of_the_model_that_ships() -> None:
    told = inspect_checkpoint(str(shipped_checkpoint()), ExportOptions())
    shipped = ROOT / "inference" / "default_model"
    size = sum((shipped / path).stat().st_size for path in ("model.onnx.data", "tokenizer.json"))
    assert told.packages["int4"].num_bytes == pytest.approx(size, rel=0.02)


def test_the_cache_is_that_of_the_engine(tmp_path: Path) -> None:
    told = inspected(tmp_path, context_length=100)
    assert told.cache_bytes == 2 * 2 * 2 * 16 * 100 * 4  # kinds, layers, heads, head_dim, tokens


def test_no_weight_is_read(tmp_path: Path) -> None:
    """Behind the header is nothing that an export would take for numbers."""
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    weights = checkpoint / "model.safetensors"
    header = weights.read_bytes()[:8]
    length = 8 + int.from_bytes(header, "little")
    content = weights.read_bytes()
    weights.write_bytes(content[:length] + b"\xff" * (len(content) - length))  # no number at all
    told = inspect_checkpoint(str(checkpoint), ExportOptions(block_size=32))
    assert told.tensors == "45 tensors of F32, each with its place"


def test_weights_that_are_not_the_models(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", TINY_MODELS[0])
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    (checkpoint / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    told = inspect_checkpoint(str(checkpoint), ExportOptions())
    assert told.tensors is not None
    assert "has no place in this model" in told.tensors


def test_a_folder_without_weights(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    (checkpoint / "model.safetensors").unlink()
    told = inspect_checkpoint(str(checkpoint), ExportOptions())
    assert told.tensors is not None
    assert told.tensors.startswith("no model.safetensors and no model.safetensors.index.json in ")


def test_rows_that_no_block_divides_cost_their_line_only(tmp_path: Path) -> None:
    told = inspected(tmp_path, TinyModel("odd", 1, {"moe_intermediate_size": 48}))
    assert told.packages["f32"].num_bytes is not None
    assert told.packages["int4"].num_bytes is None
    assert "which block size 32 does not divide" in str(told.packages["int4"].problem)


@pytest.mark.parametrize(("asked", "used"), [({}, 32), ({"block_size": 64}, 32)])
def test_a_block_that_does_not_divide_is_replaced(
    asked: dict[str, int], used: int, tmp_path: Path
) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    told = inspect_checkpoint(str(checkpoint), ExportOptions(**asked))
    assert told.packages == inspected(tmp_path, block_size=used).packages
    said = f"block size {used} instead of {asked.get('block_size', 128)}, which does not divide"
    assert f"  blocks      {said} rows of " in in_words(told)


def test_the_block_that_would_be_used_is_told(tmp_path: Path) -> None:
    assert "  blocks      block size 32\n" in in_words(inspected(tmp_path))


def test_a_key_that_is_passed_over(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", TinyModel("own", 1, {"own": 1}))
    inspect_checkpoint(str(checkpoint), ExportOptions(ignore_config=("own",)))
    with pytest.raises(UnsupportedError, match="own = 1, which is not implemented"):
        inspect_checkpoint(str(checkpoint), ExportOptions())


def test_a_model_that_is_not_implemented(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="model_type = 'mystery'"):
        inspected(tmp_path, TinyModel("mystery", 1, {"model_type": "mystery"}))


def test_layers_that_are_alike_are_told_once(tmp_path: Path) -> None:
    words = in_words(inspected(tmp_path, TINY_MODELS[3]))
    assert "0 to 1: Layer(" in words
    assert "2: Layer(" in words
    assert "SparseMoE(num_experts 4" in words
    assert "qwen, psm" in words


def test_a_model_without_holes_is_told(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    told = inspect_checkpoint(str(checkpoint), ExportOptions(fim="none"))
    assert "none: no known convention" in in_words(told)


def test_the_command_prints_words_or_json(tmp_path: Path) -> None:
    checkpoint = str(write_tiny_checkpoint(tmp_path / "tiny"))
    words = CliRunner().invoke(export, ["--inspect", checkpoint], catch_exceptions=False).output
    assert words.startswith("tiny: qwen3_moe\n")
    arguments = ["--inspect", "--json", checkpoint, "--context-length", "64"]
    found = json.loads(CliRunner().invoke(export, arguments, catch_exceptions=False).output)
    assert (found["name"], found["context_length"], found["parameters"]) == ("tiny", 64, 109_440)
    assert list(tmp_path.iterdir()) == [tmp_path / "tiny"]


def test_an_export_needs_a_place(tmp_path: Path) -> None:
    checkpoint = str(write_tiny_checkpoint(tmp_path / "tiny"))
    assert "Missing option '--output'" in CliRunner().invoke(export, [checkpoint]).output


def test_layers_that_are_left_out_are_no_surplus(tmp_path: Path) -> None:
    model = next(model for model in FAMILY_MODELS if model.name == "deepseek_v3")
    told = inspected(tmp_path, model)
    tensors = load_file(tmp_path / "tiny" / "model.safetensors")
    further = {"model.layers.2.eh_proj.weight": np.zeros((64, 128), np.float32)}
    save_file(tensors | further, tmp_path / "tiny" / "model.safetensors")
    again = inspect_checkpoint(str(tmp_path / "tiny"), ExportOptions(block_size=32))
    assert again.tensors == told.tensors == f"{len(tensors)} tensors of F32, each with its place"
