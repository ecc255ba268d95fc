"""Which order of a hole's parts a model finds easiest: bits a token of what was cut out of a text.

A model was trained on one order or on both, and what its family calls the usual one need not be
the better: the prefix behind the middle token is the beginning of the middle, as every model has
seen it. So both are read, and the package gets the one with fewer bits where that is no chance.

In PSM order with a tail, the prefix's last tokens stand behind the middle token and the others
before the suffix (inference/fim.py). A model that finds holes as easily so is given this order:
when the cursor goes elsewhere, what stands before it need not be read again.

Templates of several conventions that share their tokens are rivals: they are measured together, and
one that is clearly easier than the one that was guessed takes its place.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from export.package.fim_conventions import NUM_TAIL_TOKENS
from export.quality.gate import read_windows
from export.quality.reader import Reader
from export.texts import Text
from inference.fim import FimOrder, FimTemplate

NUM_HOLES: Final = 8
MAX_HOLES: Final = 16
"""Read where the first holes leave it open."""

CLEAR: Final = 2.0
"""Standard errors that the orders must lie apart."""

LITTLE: Final = 0.03
"""Bits a token that a tail may cost."""

_FIM_PREFIX: Final = 0.5
_FIM_MIDDLE: Final = 0.125
_FIM_SUFFIX: Final = 0.25

Float64 = npt.NDArray[np.float64]


class HoleBits(msgspec.Struct, frozen=True):
    """Bits a token of each hole, by order.

    "left_to_right" is without the suffix, "tail" in PSM order with the prefix's end behind it all.
    """

    of: dict[str, Float64]

    def figures(self) -> dict[str, float]:
        return {name: round(float(bits.mean()), 1) for name, bits in self.of.items()}

    def clear_order(self) -> FimOrder | None:
        """Return the order that is better by more than chance; None where neither is."""
        if self.is_clearly_better("spm", than="psm"):
            return "spm"
        return "psm" if self.is_clearly_better("psm", than="spm") else None

    def is_clearly_better(self, name: str, *, than: str) -> bool:
        """Say whether a layout takes fewer bits than another by more than chance."""
        gained = self.of[than] - self.of[name]
        error = float(gained.std(ddof=1)) / len(gained) ** 0.5
        return float(gained.mean()) > CLEAR * error

    def loses_little_with_tail(self, order: FimOrder) -> bool:
        return float((self.of["tail"] - self.of[order]).mean()) <= LITTLE


def measure_fim(
    reader: Reader, fim: FimTemplate, text: Text, rivals: Sequence[FimTemplate] = ()
) -> HoleBits:
    """Read the first holes of a text in each order, and with no suffix shown."""
    names = [name for template in (fim, *rivals) for name in _layouts(template)]
    unique = tuple(dict.fromkeys([*names, "left_to_right"]))
    return _measured(reader, fim, text, unique, slice(NUM_HOLES))


def better_template(
    reader: Reader,
    fim: FimTemplate,
    text: Text,
    measured: HoleBits,
    rivals: Sequence[FimTemplate] = (),
) -> FimTemplate:
    """Return the template that a package is to have.

    It is the first one unless a rival is clearly better, in the usual order unless another is
    clearly better, with a tail where that costs little. `measured` are the first holes; more are
    read where they leave the order open. A template whose suffix comes first, or that has no middle
    token, has one order only.
    """
    chosen = _ordered(reader, fim, text, measured)
    for rival in rivals:
        other = _ordered(reader, rival, text, measured)
        if measured.is_clearly_better(_layout(other), than=_layout(chosen)):
            chosen = other
    return chosen


def _ordered(reader: Reader, fim: FimTemplate, text: Text, measured: HoleBits) -> FimTemplate:
    if not _has_both_orders(fim):
        return fim
    found = measured.clear_order()
    windows = text.windows()
    if found is None and len(windows) > NUM_HOLES:
        more = _measured(reader, fim, text, ("psm", "spm"), slice(NUM_HOLES, MAX_HOLES))
        joined = {name: np.concatenate([measured.of[name], more.of[name]]) for name in more.of}
        found = HoleBits(joined).clear_order()
    order = found or fim.order
    if measured.loses_little_with_tail(order):
        return msgspec.structs.replace(fim, order="psm", num_tail_tokens=NUM_TAIL_TOKENS)
    return msgspec.structs.replace(fim, order=order)


def _layouts(fim: FimTemplate) -> tuple[str, ...]:
    return ("psm", "spm", "tail") if _has_both_orders(fim) else ("suffix_prefix",)


def _layout(fim: FimTemplate) -> str:
    return "tail" if fim.num_tail_tokens else fim.order


def _has_both_orders(fim: FimTemplate) -> bool:
    return fim.order != "suffix_prefix" and fim.middle_token_id is not None


def _measured(
    reader: Reader, fim: FimTemplate, text: Text, names: Sequence[str], which: slice
) -> HoleBits:
    windows = text.windows()[which]
    holes = {name: [_hole(fim, name, window) for window in windows] for name in names}
    # In one go, since a package that is read in pieces is loaded anew each time.
    texts = [token_ids for part in holes.values() for token_ids, _ in part]
    longest = max(num_middle for part in holes.values() for _, num_middle in part)
    read = read_windows(reader, texts, last=longest + 1)
    return HoleBits({name: _bits(part, read) for name, part in holes.items()})


def _hole(fim: FimTemplate, name: str, window: Sequence[int]) -> tuple[list[int], int]:
    """Cut a hole; return a prompt with its middle behind it, and the middle's length."""
    start, size = (int(share * len(window)) for share in (_FIM_PREFIX, _FIM_MIDDLE))
    end = start + max(1, size)
    prefix, middle = list(window[:start]), list(window[start:end])
    suffix = window[end : end + int(_FIM_SUFFIX * len(window))]
    return _prompt(fim, name, prefix, suffix) + middle, len(middle)


def _prompt(fim: FimTemplate, name: str, prefix: list[int], suffix: Sequence[int]) -> list[int]:
    match name:
        case "left_to_right":
            return prefix
        case "tail":
            fim = msgspec.structs.replace(fim, order="psm", num_tail_tokens=NUM_TAIL_TOKENS)
            head, tail = prefix[:-NUM_TAIL_TOKENS], prefix[-NUM_TAIL_TOKENS:]
            return fim.arrange(head, suffix, tail)
        case _:
            order = msgspec.convert(name, FimOrder)
            fim = msgspec.structs.replace(fim, order=order, num_tail_tokens=0)
            return fim.arrange(prefix, suffix)


def _bits(holes: Sequence[tuple[list[int], int]], read: Iterator[Float64]) -> Float64:
    """Take as many windows from `read` as there are holes; return the bits a token of each."""
    found: list[float] = []
    for (token_ids, num_middle), probabilities in zip(holes, read, strict=False):
        rows = probabilities[-num_middle - 1 : -1]
        surprise = -float(rows[np.arange(num_middle), token_ids[-num_middle:]].sum())
        found.append(surprise / num_middle / float(np.log(2)))
    return np.array(found)
