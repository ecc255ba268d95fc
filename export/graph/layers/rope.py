"""The tables of cosines and sines that attention rotates heads by, and where in a head they reach.

The operator rotates a multiple of 16 numbers of each head (onnxruntime 1.31). Where a model rotates
fewer, the pairs that are missing are turned by nothing; as it pairs numbers half of the rotated
part away from each other, those that stay as they are lie behind each half then.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from export.graph.builder import GraphBuilder, Value
from export.spec.rope import Rope, rope_tables

ROTATED_STEP: Final = 16


class RopeValues(msgspec.Struct, frozen=True, kw_only=True):
    """Both [positions, head_dim / 2]."""

    cosines: Value
    sines: Value


def rope_values(graph: GraphBuilder, rope: Rope, head_dim: int, num_positions: int) -> RopeValues:
    missing = (-head_dim % ROTATED_STEP) // 2
    cosines, sines = (
        np.pad(table, ((0, 0), (0, missing)), constant_values=unturned)
        for table, unturned in zip(
            rope_tables(rope, head_dim, num_positions), (1.0, 0.0), strict=True
        )
    )
    return RopeValues(
        cosines=graph.floats(cosines.astype(np.float32)),
        sines=graph.floats(sines.astype(np.float32)),
    )


def rotated_order(rope: Rope, rotary_dim: int, head_dim: int) -> npt.NDArray[np.int64] | None:
    """Return the numbers of a head in the order that the operator wants; None for their own.

    `rotary_dim` is how many of them the model rotates, the first ones.
    """
    missing = (-rotary_dim % ROTATED_STEP) // 2
    if not missing or rope.interleaved:
        return None
    halves = np.arange(rotary_dim).reshape(2, -1)
    still = np.arange(rotary_dim, head_dim)
    parts = [halves[0], still[:missing], halves[1], still[missing:]]
    return np.concatenate(parts)
