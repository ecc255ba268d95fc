"""The tables of cosines and sines that attention rotates heads by."""

import msgspec
import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.spec.rope import Rope, rope_tables


class RopeValues(msgspec.Struct, frozen=True, kw_only=True):
    """Both [positions, head_dim / 2]."""

    cosines: Value
    sines: Value


def rope_values(graph: GraphBuilder, rope: Rope, head_dim: int, num_positions: int) -> RopeValues:
    cosines, sines = rope_tables(rope, head_dim, num_positions)
    return RopeValues(
        cosines=graph.floats(cosines.astype(np.float32)),
        sines=graph.floats(sines.astype(np.float32)),
    )
