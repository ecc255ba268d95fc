"""Find where texts hold what somebody has just written, and what follows there.

A suffix array in reverse (Manber and Myers 1993, SIAM J. Comput. 22, for the array): all places of
all texts, ordered by the tokens before them, the nearest first. Places that share their last tokens
with a history stand together, and the more they share the fewer they are. The order goes DEPTH
tokens deep; beyond, the few places that are left are looked at. Eight bytes a token.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.completion import owner_of

TokenIds = npt.NDArray[np.int32]

DEPTH: Final = 8
MIN_MATCHED: Final = 2
MAX_MATCHED: Final = 32
"""Tokens that must stand before a place as they stand in the history, and beyond which more says
no more."""

MAX_PLACES: Final = 512
"""Places that are looked at, of those that share as many tokens."""

_EDGE: Final = -1
"""Stands between texts and before the first, and is no token."""


class Recalled(msgspec.Struct, frozen=True):
    """The places that share most with a history, in the order in which texts were given.

    `following` are the tokens at those places, [num_places]; `num_matched` tokens before each are
    the history's last. `continuation` goes on from the last of them.
    """

    num_matched: int
    following: TokenIds
    continuation: TokenIds


Recall = Callable[[tuple[int, ...]], Recalled | None]
"""From the last tokens of a history to what texts share with them."""


class TokenIndex:
    """Texts by name, as tokens; it does not change."""

    def __init__(self, texts: Mapping[str, TokenIds]) -> None:
        edges = np.full(MAX_MATCHED, _EDGE, np.int32)
        pieces: list[TokenIds] = [edges]
        for text in texts.values():
            pieces += [text.astype(np.int32), edges[:1]]
        self._tokens: TokenIds = np.concatenate(pieces)
        lengths = [MAX_MATCHED, *(len(text) + 1 for text in texts.values())]
        self._starts = np.cumsum(lengths)[:-1]
        self._names = list(texts)
        owners = [owner_of(name) for name in texts]
        self._owner_numbers = {owner: number for number, owner in enumerate(set(owners))}
        self._owners = np.array([self._owner_numbers[owner] for owner in owners], np.int32)
        self._order = self._ordered()

    @property
    def num_tokens(self) -> int:
        return len(self._tokens) - MAX_MATCHED - len(self._names)

    @property
    def num_bytes(self) -> int:
        return self._tokens.nbytes + self._order.nbytes

    def recall(
        self, history: Sequence[int], forgotten: AbstractSet[str], owner: str = ""
    ) -> Recalled | None:
        """Return what shares most with the end of `history`, in the texts of `owner`.

        No place is in a text of `forgotten`.
        """
        ranges = [(0, len(self._order))]
        for depth in range(1, min(DEPTH, len(history)) + 1):
            narrowed = self._narrowed(*ranges[-1], depth, history[-depth])
            if narrowed[0] == narrowed[1]:
                break
            ranges.append(narrowed)
        for num_matched in range(len(ranges) - 1, MIN_MATCHED - 1, -1):
            low, high = ranges[num_matched]
            places = self._kept(self._owned(low, high, owner)[-MAX_PLACES:], forgotten)
            if len(places):
                return self._extended(places, num_matched, history)
        return None

    def _ordered(self) -> TokenIds:
        tokens = self._tokens
        is_place = (tokens != _EDGE) & (np.roll(tokens, 1) != _EDGE)
        places = np.flatnonzero(is_place).astype(np.int32)
        keys = [tokens[places - depth] for depth in range(DEPTH, 0, -1)]
        return places[np.lexsort(keys)]

    def _narrowed(self, low: int, high: int, depth: int, token_id: int) -> tuple[int, int]:
        """Return the part of a range of `_order` whose places have a token so far before them."""
        tokens, order = self._tokens, self._order

        def token_before(place: np.int32) -> np.int32:
            return tokens[place - depth]

        low = bisect_left(order, token_id, low, high, key=token_before)
        return low, bisect_right(order, token_id, low, high, key=token_before)

    def _owned(self, low: int, high: int, owner: str) -> TokenIds:
        """Return the places of a range that are in somebody's texts; others' take none away."""
        places = self._order[low:high]
        number = self._owner_numbers.get(owner)
        if number is None:
            return places[:0]
        if len(self._owner_numbers) == 1:
            return places
        texts = np.searchsorted(self._starts, places, "right") - 1
        return places[self._owners[texts] == number]

    def _kept(self, places: TokenIds, forgotten: AbstractSet[str]) -> TokenIds:
        if not forgotten:
            return places
        texts = np.searchsorted(self._starts, places, "right") - 1
        is_kept = [self._names[text] not in forgotten for text in texts]
        return places[np.array(is_kept, bool)]

    def _extended(self, places: TokenIds, num_matched: int, history: Sequence[int]) -> Recalled:
        """Keep those of the places that share most; all share `num_matched` tokens."""
        longest = min(MAX_MATCHED, len(history))
        while DEPTH <= num_matched < longest:
            is_longer = self._tokens[places - num_matched - 1] == history[-num_matched - 1]
            if not is_longer.any():
                break
            places, num_matched = places[is_longer], num_matched + 1
        places = np.sort(places)
        text = self._tokens[places[-1] : places[-1] + MAX_MATCHED]
        ends = np.flatnonzero(text == _EDGE)
        continuation = text[: ends[0]] if len(ends) else text
        return Recalled(num_matched, self._tokens[places], continuation)


def longest(found: Iterable[Recalled | None]) -> Recalled | None:
    """Return what shares most, of equals the last."""
    best: Recalled | None = None
    for one in found:
        if one is not None and (best is None or one.num_matched >= best.num_matched):
            best = one
    return best
