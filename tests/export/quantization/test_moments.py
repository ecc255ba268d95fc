"""moments: sums over what matrices are given, the same in any order of asking."""

from pathlib import Path

import numpy as np
import pytest

from export.quantization.moments import CalibrationMoments
from export.spec.oracle import Slots, embed, run_layer
from export.texts import Text
from tests.support.exported import TOKEN_IDS, read_values
from tests.support.tiny_checkpoints import write_tiny_checkpoint

TEXT = Text(token_ids=TOKEN_IDS, window=8)


@pytest.fixture
def moments(tmp_path: Path) -> CalibrationMoments:
    spec, values = read_values(write_tiny_checkpoint(tmp_path))
    return CalibrationMoments(spec, values, TEXT, dtype=np.float64)


def test_a_projections_moments_are_those_of_its_rows(tmp_path: Path) -> None:
    spec, values = read_values(write_tiny_checkpoint(tmp_path))
    seen: list[np.ndarray] = []
    slots = Slots(
        values,
        np.float64,
        observe=lambda slot, _, x: seen.append(x) if slot.endswith("1.attention.key") else None,
    )
    x = embed(spec, slots, TOKEN_IDS)
    for index in range(2):
        x = run_layer(spec, slots, index, x, window=8)
    rows = np.concatenate(seen)
    assert len(rows) == len(TOKEN_IDS)
    found = CalibrationMoments(spec, values, TEXT, dtype=np.float64).find("layers.1.attention.key")
    assert found is not None
    np.testing.assert_allclose(found, rows.T @ rows, rtol=1e-12)


@pytest.mark.parametrize("name", ["1.attention.key", "0.moe.down"])
def test_squares_alone_are_the_diagonal(name: str, tmp_path: Path) -> None:
    spec, values = read_values(write_tiny_checkpoint(tmp_path))
    whole, squares = (
        CalibrationMoments(spec, values, TEXT, dtype=np.float64, only_squares=only).find(
            f"layers.{name}"
        )
        for only in (False, True)
    )
    assert whole is not None
    assert squares is not None
    expected = np.diagonal(whole, axis1=-2, axis2=-1)
    np.testing.assert_allclose(squares, expected, rtol=1e-12)


def test_experts_have_moments_of_their_own(moments: CalibrationMoments) -> None:
    gate, down = (moments.find(f"layers.0.moe.{name}") for name in ("gate", "down"))
    assert gate is not None
    assert down is not None
    assert (gate.shape, down.shape) == ((4, 64, 64), (4, 32, 32))
    assert not np.allclose(gate[0], gate[1])


def test_matrices_of_the_same_rows_share_their_moments(moments: CalibrationMoments) -> None:
    for layer, names in ((0, ("gate", "up")), (1, ("gate", "up"))):
        first, second = (moments.find(f"layers.{layer}.moe.{name}") for name in names)
        assert first is second


def test_going_back_gives_the_same(moments: CalibrationMoments) -> None:
    first = moments.find("layers.0.attention.output")
    assert moments.find("layers.1.attention.output") is not None
    again = moments.find("layers.0.attention.output")
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", ["embedding", "head", "norm"])
def test_what_lies_outside_the_layers_has_none(name: str, moments: CalibrationMoments) -> None:
    assert moments.find(name) is None
