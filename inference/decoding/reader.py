"""Decide what of a hole is read, and have it read: as much as there is time for.

A request that is in no hurry gets its window whole, whatever was read before. One that promises
its first text within a time gets the best layout among those that can be read in it:
the whole window where most of it is held, a layout that is held, the head of one with a short
suffix behind it, or the window that fits in cold. What it did not get is read while nobody waits.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from inference.cancellation import CancelToken
from inference.decoding.budget import BESIDE_SHARE, Budget, suffix_tokens
from inference.decoding.layout import (
    SMALLEST_WINDOW,
    Beside,
    Hole,
    Layout,
    anchor_before,
    fresh_layout,
    further_down,
)
from inference.decoding.line_ends import with_line_feeds
from inference.decoding.loaded import LoadedModel
from inference.decoding.pace import Pace
from inference.decoding.pool import SessionPool, max_sessions
from inference.decoding.prompt import Prompt, open_prompt, whole_prompt
from inference.decoding.session import Session
from inference.runtime.language_model import Logits
from inference.timing import now_ms

GROWTH: Final = 1.25
"""A layout that is held may grow over its window by so much before it is given up."""

NUM_ENCODED: Final = 32
"""Texts whose tokens are kept: while one types, all of a prompt but its tail is the same."""

IDLE_CHUNK: Final = 32
"""Tokens per forward while nobody waits: whoever comes loses no more of what was begun."""

SHORT_SUFFIX: Final = 32
"""Tokens of the suffix behind a head that is held."""


class Reading(msgspec.Struct, frozen=True):
    """A prompt, and the session that is to read it."""

    prompt: Prompt
    session: Session


class _Candidate(msgspec.Struct, frozen=True):
    layout: Layout
    prompt: Prompt
    num_unread: int

    @property
    def num_shown(self) -> int:
        return len(self.prompt.token_ids)


FindBeside = Callable[[str, Hole, int], Beside]
"""From a document, a hole in it and a number of tokens to what of other files is shown with it."""


class Reader:
    """All sessions of a model. Lives in the engine thread (invariant 9)."""

    def __init__(
        self, loaded: LoadedModel, can_heal: Callable[[int], bool], beside: FindBeside
    ) -> None:
        self._loaded = loaded
        self._find_beside = beside
        self._fim = loaded.fim
        self._can_heal = can_heal
        self.forget()
        self.pace = Pace()

        @lru_cache(NUM_ENCODED)
        def encode(text: str, *, is_beginning: bool = False) -> tuple[int, ...]:
            return tuple(loaded.tokenizer.encode(with_line_feeds(text), is_beginning=is_beginning))

        self._encode = encode

    def open(
        self,
        document: str,
        hole: Hole,
        budget: Budget,
        *,
        time_ms: float | None = None,
        is_ahead: bool = False,
    ) -> Reading:
        """Choose a prompt that can be read in `time_ms`, or the whole window; read nothing yet.

        The whole window depends on the hole alone, and on other files as they are, unless it is
        read ahead: then as much as possible of what is held is kept.
        """
        num_affordable = None if time_ms is None else self.pace.num_affordable(time_ms)
        keeps, looks = is_ahead or num_affordable is not None, num_affordable is None
        fresh = self._fresh(document, hole, budget.max_prompt, keeps=keeps, looks=looks)
        chosen = self._candidate(document, hole, fresh)
        if num_affordable is not None and chosen.num_unread > num_affordable:
            others = self._other_candidates(document, hole, budget, num_affordable)
            chosen = _best([chosen, *others], num_affordable)
        session = self._pool.session_for(document, chosen.layout, chosen.prompt.token_ids)
        return Reading(chosen.prompt, session)

    def read(self, reading: Reading, cancel: CancelToken) -> tuple[Logits, int]:
        """Read a prompt; return its last logits and how many tokens were held. See Session."""
        started = now_ms()
        logits, num_reused = reading.session.prefill(reading.prompt.token_ids, cancel)
        self.pace.note(len(reading.prompt.token_ids) - num_reused, now_ms() - started)
        return logits, num_reused

    def read_ahead(self, document: str, hole: Hole, budget: Budget, cancel: CancelToken) -> None:
        """Read the whole window of a hole, in short runs.

        At a document's beginning nobody is known to be anywhere in it. There the text that whoever
        comes has before the cursor is read, where a prompt begins with it.
        Raises RequestCancelledError; what was read by then is kept.
        """
        if hole.cursor == 0:
            if self._fim is None or not self._fim.num_tail_tokens:
                return
            hole = self._where_all_before_fits(hole, budget)
        reading = self.open(document, hole, budget, is_ahead=True)
        if reading.prompt.token_ids:
            reading.session.hold(reading.prompt.token_ids, cancel, chunk=IDLE_CHUNK)

    def _where_all_before_fits(self, start: Hole, budget: Budget) -> Hole:
        """Return a hole further down, before which the window shows all that there is."""
        num_tokens = budget.max_prompt
        while True:
            hole = further_down(start, num_tokens)
            layout = fresh_layout(hole, self._fim, self._encode, max_tokens=budget.max_prompt)
            if layout.start + layout.num_dropped == 0 or num_tokens < SMALLEST_WINDOW:
                return hole
            num_tokens //= 2

    def open_whole(self, document: str, hole: Hole, *, max_tokens: int) -> Reading:
        """Choose the prompt of so many tokens from which nothing is held back."""
        layout = self._fresh(document, hole, max_tokens, keeps=False, looks=True)
        prompt = whole_prompt(hole, layout, self._fim, self._encode)
        token_ids = [*self._loaded.leading_token_ids, *prompt]
        session = self._pool.session_for(document, layout, token_ids)
        return Reading(Prompt(token_ids, None), session)

    def open_tokens(self, name: str, token_ids: Sequence[int]) -> Reading:
        """Return a reading of tokens that are no hole; those of one name share a session."""
        prompt = Prompt(list(token_ids), None)
        session = self._pool.session_for(name, Layout(0, 0, None, ()), token_ids)
        return Reading(prompt, session)

    def forget(self) -> None:
        """Give up all sessions."""
        self._pool = SessionPool(self._loaded.model, max_sessions=max_sessions(self._loaded.model))

    def _fresh(
        self, document: str, hole: Hole, max_tokens: int, *, keeps: bool, looks: bool
    ) -> Layout:
        """Return the layout that shows most, with what is shown of other files.

        That stands before all else, so where it `keeps` what is held it stays as long as the edge
        behind it does. Where nothing is held it `looks` for what there is.
        """
        held = self._pool.layouts(document) if keeps else ()
        if looks or any(layout.beside.num_files for layout in held):
            num_beside = max_tokens // BESIDE_SHARE
            own = fresh_layout(hole, self._fim, self._encode, max_tokens=max_tokens - num_beside)
            edge = (own.start, own.num_dropped)
            same = [one.beside for one in held if (one.start, one.num_dropped) == edge]
            beside = max(same, key=lambda one: one.num_files, default=Beside())
            if not beside.num_files and looks:
                beside = self._find_beside(document, hole, num_beside)
            if beside.num_files:
                return replace(own, beside=beside)
        return fresh_layout(hole, self._fim, self._encode, max_tokens=max_tokens)

    def _candidate(self, document: str, hole: Hole, layout: Layout) -> _Candidate:
        opened = open_prompt(hole, layout, self._fim, self._encode, can_heal=self._can_heal)
        token_ids = [*self._loaded.leading_token_ids, *opened.token_ids]
        prompt = replace(opened, token_ids=token_ids)
        num_unread = self._pool.num_unread(document, layout, prompt.token_ids)
        return _Candidate(layout, prompt, num_unread)

    def _other_candidates(
        self, document: str, hole: Hole, budget: Budget, num_affordable: int
    ) -> Iterator[_Candidate]:
        """Yield what may be read instead of the whole window; the last is what fits in cold."""
        context_length = self._loaded.model.context_length
        longest = min(context_length - budget.max_new, round(GROWTH * budget.max_prompt))
        for held in self._pool.layouts(document):
            for layout in self._going_on(hole, held):
                candidate = self._candidate(document, hole, layout)
                if candidate.num_shown <= longest:
                    yield candidate
        smallest = min(budget.max_prompt, max(SMALLEST_WINDOW, num_affordable))
        layout = fresh_layout(hole, self._fim, self._encode, max_tokens=smallest)
        yield self._candidate(document, hole, layout)

    def _going_on(self, hole: Hole, held: Layout) -> Iterator[Layout]:
        """Yield the layout that is held, and its head with a short suffix behind it."""
        if held.can_go_on(hole, self._encode):
            yield held
        is_there = hole.num_skipped <= held.start < hole.cursor
        if self._fim is not None and held.anchor is not None and is_there:
            anchor = anchor_before(hole, self._fim.num_tail_tokens, held.start)
            suffix_ids = suffix_tokens(hole.lasting_suffix, self._encode, max_tokens=SHORT_SUFFIX)
            yield replace(held, anchor=min(anchor, held.anchor), suffix_ids=tuple(suffix_ids))


def _best(candidates: Sequence[_Candidate], num_affordable: int) -> _Candidate:
    """Return what shows most that is held, of what can be read in time; else what is read soonest.

    Of what is all to be read, that is the largest.
    """
    in_time = [one for one in candidates if one.num_unread <= num_affordable]
    if not in_time:
        return min(candidates, key=lambda one: one.num_unread)
    return max(in_time, key=lambda one: (one.num_shown - one.num_unread, one.num_shown))
