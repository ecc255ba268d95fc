"""weights: made when asked for, one at a time, and checked before they are used."""

from pathlib import Path

import numpy as np
import pytest

from export.checkpoint.plan import Plan
from export.checkpoint.safetensors import open_checkpoint
from export.checkpoint.stored import Checkpoint
from export.errors import CheckpointError
from export.graph import weights
from export.graph.weights import (
    OnDemand,
    RoundingErrors,
    check_copies,
    dequantized,
    layer_kept,
    scheme_weights,
    slot_values,
    under,
    watched,
)
from export.quantization.blockwise import Float, Quantized
from export.quantization.scheme import find_scheme
from export.spec.slot import Slot
from tests.support.tiny_checkpoints import write_shards

STORED = {
    "embed": np.arange(128, dtype=np.float32).reshape(2, 64),
    "head": np.arange(128, dtype=np.float32).reshape(2, 64),
    "expert.0": np.full((3, 64), 1.0, np.float32),
    "expert.1": np.full((3, 64), 2.0, np.float32),
}
SLOTS = {
    "embedding": Slot(shape=(2, 64), role="embedding"),
    "layers.0.moe.up": Slot(shape=(2, 3, 64), role="expert"),
}
PLAN = Plan(
    parts={"embedding": ("embed",), "layers.0.moe.up": ("expert.0", "expert.1")},
    copies={"head": "embedding"},
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    write_shards(tmp_path, STORED, 1)
    return open_checkpoint(tmp_path)


def test_experts_are_stacked(checkpoint: Checkpoint) -> None:
    values = slot_values(checkpoint, PLAN, SLOTS)
    assert list(values) == ["embedding", "layers.0.moe.up"]
    np.testing.assert_array_equal(values["embedding"], STORED["embed"])
    np.testing.assert_array_equal(values["layers.0.moe.up"][:, 0, 0], [1.0, 2.0])


def test_one_tensor_may_hold_all_experts(tmp_path: Path) -> None:
    write_shards(tmp_path, {"experts": np.ones((2, 3, 64), np.float32)}, 1)
    plan = Plan(parts={"layers.0.moe.up": ("experts",)}, copies={})
    values = slot_values(open_checkpoint(tmp_path), plan, SLOTS)
    assert values["layers.0.moe.up"].shape == (2, 3, 64)


def test_another_shape_than_the_configs(checkpoint: Checkpoint) -> None:
    slots = SLOTS | {"layers.0.moe.up": Slot(shape=(2, 3, 32), role="expert")}
    with pytest.raises(CheckpointError, match=r"expert\.0 has shape \[3, 64\] .* \[3, 32\]"):
        slot_values(checkpoint, PLAN, slots)


def test_a_copy_that_is_the_same(checkpoint: Checkpoint) -> None:
    check_copies(checkpoint, PLAN)


def test_a_copy_that_differs(tmp_path: Path) -> None:
    write_shards(tmp_path, STORED | {"head": STORED["head"] + 1}, 1)
    with pytest.raises(
        CheckpointError, match=r"head differs from embed, yet config.json ties them"
    ):
        check_copies(open_checkpoint(tmp_path), PLAN)


def test_each_slot_is_rounded_as_its_role_says(checkpoint: Checkpoint) -> None:
    values = slot_values(checkpoint, PLAN, SLOTS)
    weights = scheme_weights(find_scheme("int4", 32), SLOTS, values)
    bits = {name: weight.bits for name, weight in weights.items() if isinstance(weight, Quantized)}
    assert bits == {"embedding": 8, "layers.0.moe.up": 4}


def test_what_was_not_rounded_is_widened_to_itself(checkpoint: Checkpoint) -> None:
    values = slot_values(checkpoint, PLAN, SLOTS)
    weights = scheme_weights(find_scheme("f32", 32), SLOTS, values)
    assert isinstance(weights["embedding"], Float)
    np.testing.assert_array_equal(dequantized(weights)["embedding"], STORED["embed"])


def test_rounding_errors_are_told_by_role(checkpoint: Checkpoint) -> None:
    errors = RoundingErrors()
    values = slot_values(checkpoint, PLAN, SLOTS)
    weights = scheme_weights(find_scheme("int4", 32), SLOTS, values, on_rounded=errors.add)
    for name in weights:
        assert weights[name]
    figures = errors.figures()["weight_error"]
    assert figures.keys() == {"embedding", "expert"}
    assert figures["expert"] < 1e-6  # constant blocks lose nothing
    assert 1e-4 < figures["embedding"] < 0.01


def test_nothing_rounded_has_no_figures() -> None:
    assert RoundingErrors().figures() == {}


def test_nothing_is_made_before_it_is_asked_for_and_nothing_is_kept() -> None:
    made: list[str] = []
    values = OnDemand({"a.x": 0, "a.y": 0, "b.x": 0}, lambda name: made.append(name) or name)
    part = watched(under(values, "a."), lambda name: made.append(f"before {name}"))
    assert list(part) == ["x", "y"]
    assert made == []
    assert part["x"] == "a.x"
    assert part["x"] == "a.x"
    assert made == ["before x", "a.x"] * 2


def test_an_unknown_name() -> None:
    with pytest.raises(KeyError, match="missing"):
        OnDemand({}, lambda name: name)["missing"]


def test_of_one_layer_alone_is_kept_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["embedding", "layers.0.mlp.up", "layers.0.mlp.down", "layers.1.mlp.up"]
    read: list[str] = []

    def make(name: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        read.append(name)
        return np.zeros(4, np.float32)

    values = layer_kept(OnDemand(dict.fromkeys(names), make))
    monkeypatch.setattr(weights, "MAX_LAYER_BYTES", 16)
    for name in (names[1], names[1], names[2], names[2], names[1], names[3], names[1]):
        assert len(values[name]) == 4
    # The second of a layer found no room, and another layer took the first one's place.
    assert read == [names[1], names[2], names[2], names[3], names[1]]


def test_what_is_kept_of_a_layer_cannot_be_written_to() -> None:
    values = layer_kept({"layers.0.mlp.up": np.zeros(4, np.float32)})
    with pytest.raises(ValueError, match="read-only"):
        values["layers.0.mlp.up"][0] = 1
