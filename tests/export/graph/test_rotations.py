"""Rotations that the operator does not take as they are, and layers that rotate nothing.

Numbers of a head are then in another order in the graph than in the checkpoint, and back again.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.graph.layers.rope import rotated_order
from export.package.to_checkpoint import write_checkpoint
from export.spec.oracle import forward
from export.spec.rope import Rope
from tests.support.exported import TOKEN_IDS, export_tiny, read_tokens, read_values
from tests.support.tiny_checkpoints import TinyModel
from tests.support.tiny_families import model_named

EXACT = 1e-4

SHAPES: dict[str, dict[str, Any]] = {
    "qwen3_next": {"head_dim": 32},  # gated and normalized by head, 8 numbers rotated
    "glm4_moe": {"partial_rotary_factor": 0.25},  # biased as well
    "stablelm": {"hidden_size": 192, "partial_rotary_factor": 0.42},  # 20 of 48
    "mistral-windowed": {"head_dim": 16},
    "phi3": {"partial_rotary_factor": 0.75},  # 12 of 16, which leaves one pair
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_graph_equals_the_oracle_and_has_a_way_back(name: str, tmp_path: Path) -> None:
    model = model_named(name)
    changed = TinyModel(name, model.seed, {**model.config, **SHAPES[name]}, model.base)
    exported = export_tiny(tmp_path, changed)
    loaded = exported.load()
    found = read_tokens(loaded, loaded.create_cache(), TOKEN_IDS)
    expected = forward(exported.spec, exported.weights, TOKEN_IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)
    write_checkpoint(exported.folder, tmp_path / "back")
    _, values = read_values(tmp_path / "back")
    for slot, value in exported.weights.items():
        np.testing.assert_allclose(values[slot], value, rtol=0, atol=3e-7, err_msg=slot)


@pytest.mark.parametrize(
    ("rotary_dim", "expected"),
    [
        (4, [0, 1, 4, 5, 6, 7, 8, 9, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]),
        (12, [*range(6), 12, 13, *range(6, 12), *range(14, 24)]),
        (16, None),
    ],
)
def test_what_stays_lies_behind_each_half(rotary_dim: int, expected: list[int] | None) -> None:
    found = rotated_order(Rope(theta=10.0), rotary_dim, 24)
    assert (None if found is None else found.tolist()) == expected
    assert rotated_order(Rope(theta=10.0, interleaved=True), rotary_dim, 24) is None
