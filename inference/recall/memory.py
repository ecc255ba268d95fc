"""The user's own texts, as tokens, in memory alone: what was written elsewhere, found again.

Texts come and change while one works. All of them are in one index that is made anew when much has
changed; what changed since is in a second, small one. A thread of its own turns texts into tokens
and makes the indexes, so that nobody waits for it; what is asked meanwhile is answered from what
stands.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_native_id
from typing import Final

import msgspec
import numpy as np

from inference.completion import MAX_REMEMBERED_CHARACTERS, owner_of
from inference.recall.index import Recalled, TokenIds, TokenIndex, longest
from inference.recall.snippets import CutText, Flags, Snippet, Snippets, cut

MAX_TOKENS: Final = 2_000_000
"""Of all texts together: 32 MB, some 6 MB of code. The oldest go first."""

MIN_FRESH: Final = 50_000
FRESH_SHARE: Final = 0.25
"""Where more tokens than this, and more than this share of all, have changed, all is put in one
index again."""


LOW_PRIORITY: Final = 10

MAX_CUT_TOKENS: Final = 500_000
"""Of texts that are cut into snippets, the latest: going over them takes some milliseconds."""

Encode = Callable[[str], Sequence[int]]


class _Indexes(msgspec.Struct, frozen=True):
    """`forgotten` are the texts of `whole` that have changed or gone."""

    whole: TokenIndex
    fresh: TokenIndex
    forgotten: frozenset[str]


class Memory:
    """What is told before `begin` waits for it.

    `recalls` and `shows` say whether texts are evidence, and whether some of them may be shown.
    """

    def __init__(self, *, recalls: bool = True, shows: bool = True) -> None:
        self.recalls, self.shows = recalls, shows
        self._encode: Encode | None = None
        self._ends_line: Flags = np.zeros(0, np.bool_)
        self._lock = Lock()
        self._told: dict[str, str | None] = {}
        self._texts: dict[str, TokenIds] = {}
        self._changed: set[str] = set()
        self._indexes = _Indexes(TokenIndex({}), TokenIndex({}), frozenset())
        self._cut: dict[str, CutText] = {}
        self._snippets = Snippets({})
        self._thread = ThreadPoolExecutor(1, "memory", initializer=_come_last)

    @property
    def num_tokens(self) -> int:
        indexes = self._indexes
        return indexes.whole.num_tokens + indexes.fresh.num_tokens

    def begin(self, encode: Encode, ends_line: Flags) -> None:
        """Learn from now on; `encode` turns a text into tokens, and is called in a thread.

        `ends_line`, [vocab_size], says which of them end a line.
        """
        self._encode, self._ends_line = encode, ends_line
        self._thread.submit(self._learn, encode)

    def remember(self, name: str, text: str | None) -> None:
        """Take a text in place of what went by this name, or nothing."""
        with self._lock:
            is_waking = not self._told
            self._told[name] = text
        if is_waking and self._encode is not None:
            self._thread.submit(self._learn, self._encode)

    def wait(self) -> None:
        """Return once all that was told is in the indexes."""
        self._thread.submit(lambda: None).result()

    def recall(self, history: Sequence[int], *, but: str) -> Recalled | None:
        """Return what other texts than `but` share with the end of `history`, and what follows.

        They are texts of its owner, see inference.completion.owned.
        """
        indexes = self._indexes
        if not self.recalls or not (indexes.whole.num_tokens or indexes.fresh.num_tokens):
            return None
        forgotten, owner = indexes.forgotten | {but}, owner_of(but)
        return longest(
            [
                indexes.whole.recall(history, forgotten, owner),
                indexes.fresh.recall(history, {but}, owner),
            ]
        )

    def about(self, around: Sequence[int], *, but: str, max_tokens: int) -> Sequence[Snippet]:
        """Return what other texts than `but` say about the same, see Snippets.about."""
        if not self.shows:
            return ()
        owner = owner_of(but)
        return self._snippets.about(around, but={but}, owner=owner, max_tokens=max_tokens)

    def _learn(self, encode: Encode) -> None:
        """Take in all that was told by now; what is told meanwhile wakes the thread again."""
        with self._lock:
            told, self._told = self._told, {}
        for name, text in told.items():
            self._texts.pop(name, None)
            self._changed.add(name)
            if text is not None and len(text) <= MAX_REMEMBERED_CHARACTERS:
                self._texts[name] = np.array(encode(text), np.int32)
        if told:
            self._leave_out_the_oldest()
            self._put_in_order()
            self._cut_changed(told)

    def _leave_out_the_oldest(self) -> None:
        num_tokens = sum(map(len, self._texts.values()))
        while num_tokens > MAX_TOKENS:
            name = next(iter(self._texts))
            num_tokens -= len(self._texts.pop(name))
            self._changed.add(name)

    def _cut_changed(self, told: Iterable[str]) -> None:
        for name in told:
            self._cut.pop(name, None)
        num_left, kept = MAX_CUT_TOKENS, dict[str, CutText]()
        for name, text in reversed(self._texts.items()):
            num_left -= len(text)
            if num_left < 0:
                break
            kept[name] = self._cut.get(name) or cut(text, self._ends_line)
        self._cut = kept
        self._snippets = Snippets(kept)

    def _put_in_order(self) -> None:
        fresh = {name: self._texts[name] for name in self._texts if name in self._changed}
        num_all, num_fresh = (sum(map(len, texts.values())) for texts in (self._texts, fresh))
        if num_fresh > max(MIN_FRESH, FRESH_SHARE * num_all):
            self._changed.clear()
            self._indexes = _Indexes(TokenIndex(self._texts), TokenIndex({}), frozenset())
        else:
            changed = frozenset(self._changed)
            self._indexes = _Indexes(self._indexes.whole, TokenIndex(fresh), changed)


def _come_last() -> None:
    """Let all other threads go first, where the system knows threads of their own priority."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), LOW_PRIORITY)
