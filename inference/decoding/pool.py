"""Sessions by document: each holds what was read of one place, and the next prompt there reads on.

A prompt in a layout that a session holds goes on with that session, however little it saves: what
it drops was the same place a keystroke ago. Another prompt takes the session in which it saves
more than it drops, or an empty one, or the one unused for longest: one of the same owner's, where
that has as many as one person needs. What one owner's documents left
there is not read on by another's: how long that takes would tell what it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.completion import owner_of
from inference.decoding.layout import Layout
from inference.decoding.scoring import SCORED_CHUNK
from inference.decoding.session import Session
from inference.runtime.language_model import LanguageModel

MAX_SESSIONS: Final = 6
"""Of one owner: a person moves between a few files, and a place has two while more is read."""

MAX_ALL_SESSIONS: Final = 64
"""Of everybody's, however small the model's caches are."""

MAX_CACHE_BYTES: Final = 1 << 30
"""For the caches of all sessions, and the logits of the most tokens that are asked for at once."""

SHARE_OF_OWN: Final = 4
"""One in so many of the tokens that a document drops of itself is thought to be needed again."""


@dataclass
class Held:
    """A session and what it holds: a document's text in a layout. Changed by the pool alone."""

    session: Session
    document: str
    layout: Layout


class SessionPool:
    def __init__(self, model: LanguageModel, *, max_sessions: int) -> None:
        self._model = model
        self._max_sessions = max_sessions
        self._held: list[Held] = []  # most recently used last

    def layouts(self, document: str) -> Sequence[Layout]:
        """Return the layouts in which something of a document is held, the latest first."""
        return [held.layout for held in reversed(self._held) if held.document == document]

    def num_unread(self, document: str, layout: Layout, token_ids: Sequence[int]) -> int:
        """Return how many tokens a prompt would read."""
        held = self._best(document, layout, token_ids)
        return len(token_ids) - (0 if held is None else held.session.num_common(token_ids))

    def session_for(self, document: str, layout: Layout, token_ids: Sequence[int]) -> Session:
        """Return the session to prefill with `token_ids`, and remember what it will hold."""
        held = self._best(document, layout, token_ids) or self._given_up(document)
        if held is None:
            held = Held(Session(self._model), document, layout)
        else:
            self._held.remove(held)
            if owner_of(held.document) != owner_of(document):
                held.session = Session(self._model)
            held.document, held.layout = document, layout
        self._held.append(held)
        return held.session

    def _given_up(self, document: str) -> Held | None:
        """Return what a new place of a document takes; None where there is room for it."""
        own = [held for held in self._held if owner_of(held.document) == owner_of(document)]
        if len(own) >= MAX_SESSIONS:
            return own[0]
        return None if len(self._held) < self._max_sessions else self._held[0]

    def _best(self, document: str, layout: Layout, token_ids: Sequence[int]) -> Held | None:
        for held in reversed(self._held):
            if held.document == document and held.layout == layout:
                return held
        best, most = None, 0
        owner = owner_of(document)
        for held in (held for held in self._held if owner_of(held.document) == owner):
            num_saved = held.session.num_common(token_ids)
            num_dropped = len(held.session.token_ids) - num_saved
            if held.document == document:
                num_dropped //= SHARE_OF_OWN
            if num_saved > max(most, num_dropped):
                best, most = held, num_saved
        return best


def max_sessions(model: LanguageModel) -> int:
    """Return how many sessions fit into MAX_CACHE_BYTES, of all owners; one in any case."""
    num_logit_bytes = SCORED_CHUNK * model.vocab_size * np.float32().nbytes
    num_affordable = (MAX_CACHE_BYTES - num_logit_bytes) // max(1, model.num_cache_bytes)
    return max(1, min(MAX_ALL_SESSIONS, num_affordable))
