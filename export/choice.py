"""Choose how a checkpoint is rounded: what the user says, what is stored, a model's defaults.

The defaults are those of the tables in docs/quantization.md. Small models take GPTQ, which costs
them seconds: what ships was trained for blocks of 128 around the middle. For larger ones errors are
weighed by a text that is read once, and steps that lie off the middle make up for larger blocks.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from export.options import ExportOptions
from export.original import Original
from export.quantization.blockwise import FEW_CANDIDATES, NUM_CANDIDATES
from export.quantization.scheme import (
    BITS,
    BLOCK_SIZES,
    COARSE_HEAD_BLOCK_SIZE,
    FULL,
    Head,
    Rounding,
    Scheme,
    find_scheme,
    fitting_block_size,
    replaced_words,
    rounded_rows,
)
from export.spec.decoder import Slot, is_small, slots


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """`zero_points` are for 4 bits on the CPU, and only where nothing is stored on another grid."""

    block_size: int
    rounding: Rounding
    zero_points: bool
    head: Head
    num_candidates: int


SMALL: Final = Defaults(
    block_size=128,
    rounding="gptq",
    zero_points=False,
    head="whole",
    num_candidates=NUM_CANDIDATES,
)
LARGE: Final = Defaults(
    block_size=128,
    rounding="weighted",
    zero_points=True,
    head="refined",
    num_candidates=FEW_CANDIDATES,
)


class Choice(msgspec.Struct, frozen=True):
    """`replaced` says which block size took another's place, where one did."""

    scheme: Scheme
    replaced: str | None


def choose_scheme(options: ExportOptions, original: Original) -> Choice:
    """Return how each tensor is rounded.

    Raises UnsupportedError for a precision or block size that there is not, and zero points where
    there are no 4 bits. That blocks divide all rows, `check_scheme` says.
    """
    defaults = SMALL if is_small(original.spec) else LARGE
    bits = BITS[options.precision].get("projection", FULL)
    stored = original.stored_block_size(bits)
    stored = stored if stored in BLOCK_SIZES else None
    rounding = options.rounding or defaults.rounding
    zero_points = options.zero_points
    if zero_points is None:
        can_have = bits == 4 and stored is None and options.device == "cpu"
        zero_points = defaults.zero_points and can_have and rounding == defaults.rounding
    wanted = find_scheme(
        options.precision,
        options.block_size or stored or defaults.block_size,
        rounding=rounding,
        has_zero_points=zero_points,
    )
    wanted = msgspec.structs.replace(wanted, num_candidates=defaults.num_candidates)
    return _fitted(wanted, slots(original.spec), head=options.head or defaults.head)


def _fitted(wanted: Scheme, needed: Mapping[str, Slot], *, head: Head) -> Choice:
    """Have blocks that divide all rows, and the head that is wanted, where both can be had."""
    if not wanted.has_blocks:
        return Choice(wanted, None)
    rows = rounded_rows(needed).values()
    block_size = fitting_block_size(wanted.block_size, rows)
    scheme = msgspec.structs.replace(
        wanted, block_size=block_size, coarse_head=_coarse_head(needed, head)
    )
    return Choice(scheme, replaced_words(wanted.block_size, block_size, rows))


def _coarse_head(needed: Mapping[str, Slot], head: Head) -> int | None:
    """Return its block size; a head is whole where a bias decides as well, or no block divides."""
    columns = needed["embedding"].shape[-1]
    block_size = fitting_block_size(COARSE_HEAD_BLOCK_SIZE, [columns])
    is_whole = head == "whole" or "head_bias" in needed or columns % block_size != 0
    return None if is_whole else block_size
