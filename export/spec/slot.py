"""One tensor that a spec needs: its shape, and what it is for, which decides how it is rounded."""

from typing import Literal

import msgspec

SlotRole = Literal[
    "embedding",
    "head",
    "coarse_head",
    "projection",
    "expert",
    "router",
    "norm",
    "bias",
    "convolution",
]


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a spec. Matrices are [out, in]; an expert slot is [num_experts, out, in]."""

    shape: tuple[int, ...]
    role: SlotRole


def make_slot(role: SlotRole, *shape: int) -> Slot:
    return Slot(shape=shape, role=role)
