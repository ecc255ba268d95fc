"""verify: a package that computes something else than its weights say is found out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from export.errors import VerificationError
from export.verify import relative_error, verify_package
from inference.errors import InvalidModelError
from tests.support.exported import Array, Exported, export_tiny
from tests.support.tiny_checkpoints import TINY_MODELS


@pytest.fixture(scope="module", params=["f32", "int8", "int4"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_tiny(tmp_path_factory.mktemp("verify"), TINY_MODELS[0], request.param)


def check_found_out(exported: Exported, weights: Mapping[str, Array]) -> None:
    with pytest.raises(VerificationError, match="differs from the oracle by"):
        verify_package(exported.folder, exported.manifest, exported.spec, weights)


def test_a_true_package_passes(exported: Exported) -> None:
    verify_package(exported.folder, exported.manifest, exported.spec, exported.weights)


@pytest.mark.parametrize("slot", ["layers.0.attention.query", "layers.1.moe.down", "head"])
def test_one_wrong_matrix(slot: str, exported: Exported) -> None:
    check_found_out(exported, dict(exported.weights) | {slot: -exported.weights[slot]})


def test_gate_and_up_exchanged(exported: Exported) -> None:
    weights = dict(exported.weights)
    weights |= {"layers.0.moe.gate": weights["layers.0.moe.up"]}
    weights |= {"layers.0.moe.up": exported.weights["layers.0.moe.gate"]}
    check_found_out(exported, weights)


def test_a_logit_that_is_no_number(exported: Exported) -> None:
    weights = dict(exported.weights)
    weights["norm"] = np.full_like(weights["norm"], np.nan)
    check_found_out(exported, weights)


def test_a_changed_file(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, TINY_MODELS[0])
    data = exported.folder / "model.onnx.data"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    with pytest.raises(InvalidModelError, match="does not match its hash"):
        verify_package(exported.folder, exported.manifest, exported.spec, exported.weights)


def test_relative_error_is_one_for_zeros() -> None:
    expected = np.array([3.0, -4.0])
    assert relative_error(np.zeros(2), expected) == pytest.approx(1.0)
    assert relative_error(expected, expected) == 0.0
