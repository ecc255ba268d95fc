"""Decide which tensors get how many bits: data, and the functions that read it.

The router and the norms stay in float32: they are small, and a router that picks another expert
changes more than any rounding.

int4 keeps the embedding and the head in 8 bits. Perplexity against float32, on 20,000 tokens of
held-out code with the bootstrap checkpoint (tied weights, `python -m benchmarks.quality`):

    block size                      32       64      128
    embedding and head in 8 bits  +0.9 %   +1.0 %   +1.4 %    next tokens equal: 94, 93, 93 %
    embedding and head in 4 bits  +2.7 %   +3.2 %   +4.2 %    next tokens equal: 90, 89, 88 %
    everything in 8 bits          +0.0 %   +0.0 %   +0.1 %    next tokens equal: 99, 99, 99 %
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from export.errors import UnsupportedError
from export.quantization.blockwise import Float, Float32, Weight, quantize
from export.spec import Slot, SlotRole
from inference.manifest import Precision

FULL: Final = 32
"""Bits of a role that is not rounded."""

BLOCK_SIZES: Final = (32, 64, 128)


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """`bits` of each role that is rounded; the others stay in float32."""

    precision: Precision
    block_size: int
    bits: Mapping[SlotRole, int]


BITS: Final[Mapping[Precision, Mapping[SlotRole, int]]] = {
    "f32": {},
    "int8": {"embedding": 8, "head": 8, "projection": 8, "expert": 8},
    "int4": {"embedding": 8, "head": 8, "projection": 4, "expert": 4},
}


def find_scheme(precision: Precision, block_size: int) -> Scheme:
    """Return the scheme of a precision. Raises UnsupportedError for values that have none."""
    if precision not in BITS:
        raise UnsupportedError(f"precision {precision} is not implemented; use {', '.join(BITS)}")
    if block_size not in BLOCK_SIZES:
        sizes = ", ".join(map(str, BLOCK_SIZES))
        raise UnsupportedError(f"block size {block_size} is not implemented; use one of {sizes}")
    return Scheme(precision=precision, block_size=block_size, bits=BITS[precision])


def check_scheme(scheme: Scheme, slots: Mapping[str, Slot]) -> None:
    """Raise UnsupportedError naming the first slot whose rows do not divide into blocks."""
    columns = {name: slot.shape[-1] for name, slot in slots.items() if slot.role in scheme.bits}
    fitting = [size for size in BLOCK_SIZES if not any(n % size for n in columns.values())]
    remedy = f"use --block-size {fitting[-1]}" if fitting else "use --precision f32"
    for name, size in columns.items():
        if size % scheme.block_size:
            raise UnsupportedError(
                f"{name} has rows of {size}, which block size {scheme.block_size} does not "
                f"divide; {remedy}"
            )


def apply_scheme(scheme: Scheme, slot: Slot, values: Float32) -> Weight:
    """Round one tensor as its role says."""
    bits = scheme.bits.get(slot.role, FULL)
    if bits == FULL:
        return Float(values)
    return quantize(values, bits=bits, block_size=scheme.block_size)
