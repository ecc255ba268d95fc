"""checkpoint_writing: the weights that a package computes with come back under their names."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from export.cli import export
from export.errors import PackageError
from export.options import ExportOptions
from export.package.to_checkpoint import write_checkpoint
from export.pipeline import export_checkpoint
from export.quantization.scheme import COARSE_HEAD, Preset
from export.spec.oracle import forward
from inference.errors import InvalidModelError
from inference.runtime.onnx import OnnxModel
from tests.support.exported import (
    TOKEN_IDS,
    export_tiny,
    no_progress,
    read_tokens,
    read_values,
)
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, random_tensors
from tests.support.tiny_families import FAMILY_MODELS

PLAIN = TINY_MODELS[0]
GELU = next(model for model in FAMILY_MODELS if model.name == "grok-1")


def given_back(folder: Path, model: Any, precision: Preset, **options: Any) -> None:
    """Each slot of the written checkpoint has the very values that the package computes with."""
    exported = export_tiny(folder, model, precision, **options)
    write_checkpoint(exported.folder, folder / "back")
    spec, values = read_values(folder / "back")
    assert spec == exported.spec
    assert set(values) == set(exported.weights) - {COARSE_HEAD}
    for name in values:
        expected = exported.weights[name]
        # The graph holds some norms with a one added, which costs them their last bit.
        atol = 3e-7 if "norm" in name else 0
        np.testing.assert_allclose(values[name], expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("precision", ["f32", "f16", "int8", "int4"])
@pytest.mark.parametrize("model", TINY_MODELS[:5], ids=lambda model: model.name)
def test_the_weights_of(model: TinyModel, precision: Preset, tmp_path: Path) -> None:
    given_back(tmp_path, model, precision)


@pytest.mark.parametrize("model", FAMILY_MODELS, ids=lambda model: model.name)
def test_the_weights_of_the_family(model: Any, tmp_path: Path) -> None:
    given_back(tmp_path, model, "int8")


@pytest.mark.parametrize("model", [PLAIN, GELU], ids=lambda model: model.name)
def test_weights_of_both_widths(model: Any, tmp_path: Path) -> None:
    given_back(tmp_path, model, "int4-quality")


@pytest.mark.parametrize("model", [PLAIN, GELU], ids=lambda model: model.name)
def test_weights_with_zero_points(model: Any, tmp_path: Path) -> None:
    given_back(tmp_path, model, "int4", zero_points=True)


@pytest.mark.parametrize("model", TINY_MODELS[:5], ids=lambda model: model.name)
def test_weights_beside_a_coarse_head(model: TinyModel, tmp_path: Path) -> None:
    given_back(tmp_path, model, "int4", head="refined")


def test_weights_of_both_widths_with_zero_points(tmp_path: Path) -> None:
    given_back(tmp_path, TINY_MODELS[3], "int4-quality", zero_points=True)


def test_unrounded_weights_come_back_as_they_were(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, PLAIN, "f32")
    write_checkpoint(exported.folder, tmp_path / "back")
    found = load_file(tmp_path / "back" / "model.safetensors")
    original = random_tensors(PLAIN)
    assert set(found) == set(original)
    for name, values in original.items():
        np.testing.assert_array_equal(found[name], values)


def test_the_checkpoint_is_the_model_that_the_package_serves(tmp_path: Path) -> None:
    """Exported without rounding, it computes what the oracle makes of the rounded weights."""
    served = export_tiny(tmp_path, PLAIN, "int4")
    write_checkpoint(served.folder, tmp_path / "back")
    again = tmp_path / "again"
    options = ExportOptions(precision="f32")
    manifest = export_checkpoint(str(tmp_path / "back"), again, options, progress=no_progress)
    model = OnnxModel.load(again, manifest)
    found = read_tokens(model, model.create_cache(), TOKEN_IDS)
    expected = forward(served.spec, served.weights, TOKEN_IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_half_the_size(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, PLAIN, "int4")
    write_checkpoint(exported.folder, tmp_path / "exact")
    write_checkpoint(exported.folder, tmp_path / "half", dtype="bf16")
    exact = load_file(tmp_path / "exact" / "model.safetensors")
    half = load_file(tmp_path / "half" / "model.safetensors")
    for name, values in exact.items():
        np.testing.assert_array_equal(half[name], values.astype(ml_dtypes.bfloat16))
    config = json.loads((tmp_path / "half" / "config.json").read_text("utf-8"))
    assert config["torch_dtype"] == "bfloat16"


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, PLAIN)
    for taken in (exported.folder, tmp_path / "checkpoint"):
        before = sorted(path.name for path in taken.iterdir())
        with pytest.raises(PackageError, match="is there already"):
            write_checkpoint(exported.folder, taken)
        assert sorted(path.name for path in taken.iterdir()) == before


def test_a_damaged_package_is_refused(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, PLAIN)
    data = exported.folder / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-1] + b"\xff")
    with pytest.raises(InvalidModelError, match="does not match its hash"):
        write_checkpoint(exported.folder, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_the_command(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, PLAIN, "int4")
    arguments = ["--to-checkpoint", str(exported.folder), str(tmp_path / "back"), "--dtype", "bf16"]
    done = CliRunner().invoke(export, arguments, catch_exceptions=False)
    assert done.output.strip() == f"{tmp_path / 'back'}: 45 tensors of bf16"
    assert {path.name for path in (tmp_path / "back").iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    }


def test_the_command_needs_a_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(export, ["--to-checkpoint", str(tmp_path)])
    assert "Missing argument 'FOLDER'" in done.output


def test_a_folder_is_for_the_way_back_only(tmp_path: Path) -> None:
    done = CliRunner().invoke(export, [str(tmp_path), str(tmp_path / "back")])
    assert "Got unexpected extra argument" in done.output
