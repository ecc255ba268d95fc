"""verify: a package that computes something else than its weights say is found out."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from export.errors import VerificationError
from export.quality.self_check import TOLERANCES, relative_error, verify_package
from export.spec.oracle import forward
from inference.errors import InvalidModelError
from tests.support.exported import Array, Exported, export_tiny, read_tokens
from tests.support.tiny_checkpoints import TINY_MODELS
from tests.support.tiny_families import model_named


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


@pytest.fixture(scope="module")
def flipping(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a package whose 8-bit activations send a token to other experts than the oracle's."""
    model = model_named("grok-1")
    model = dataclasses.replace(model, seed=3)
    return export_tiny(tmp_path_factory.mktemp("flipping"), model, "int4")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> float:
    """Lower the tolerance below what changed experts come to in so small a model, 0.16."""
    monkeypatch.setitem(cast("dict[str, float]", TOLERANCES), "int4", 0.1)
    return TOLERANCES["int4"]


def test_experts_that_change_by_rounded_activations_alone(
    flipping: Exported, narrow: float
) -> None:
    model = flipping.load()
    token_ids = np.linspace(0, flipping.spec.vocab_size - 1, 16).astype(int).tolist()
    found = read_tokens(model, model.create_cache(), token_ids)
    expected = forward(flipping.spec, flipping.weights, token_ids)
    assert relative_error(found, expected) > narrow
    verify_package(flipping.folder, flipping.manifest, flipping.spec, flipping.weights)


@pytest.mark.usefixtures("narrow")
def test_an_expert_that_is_wrong_beside_those_that_change(flipping: Exported) -> None:
    wrong = flipping.weights["layers.1.moe.down"].copy()
    wrong[2] = 0
    check_found_out(flipping, dict(flipping.weights) | {"layers.1.moe.down": wrong})
