"""Keep what the model has already read, and forget exactly what it has not.

A Session knows token ids and cache lengths. It knows nothing of text, requests or time.

Invariant 10: cache.length == len(token_ids), also after an exception or a cancellation.
Invariant 12: what was reused never changes the output.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from inference.cancellation import CancelToken
from inference.runtime.language_model import LanguageModel, Logits

PREFILL_CHUNK: Final = 128
"""Tokens per forward while reading. 128 to 256 read fastest and bound how long a stop takes."""

NUM_LIKELY_CHANGED: Final = 8
"""How far before a prompt's end the next one likely differs first: the word that is typed."""


class Session:
    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._cache = model.create_cache()
        self._token_ids: list[int] = []

    @property
    def token_ids(self) -> Sequence[int]:
        """What the cache holds, in order."""
        return self._token_ids

    @property
    def cache_length(self) -> int:
        return self._cache.length

    @property
    def capacity(self) -> int:
        return self._cache.capacity

    def num_common(self, token_ids: Sequence[int]) -> int:
        """Count the leading tokens that the cache already holds."""
        num_common = 0
        for held, wanted in zip(self._token_ids, token_ids, strict=False):
            if held != wanted:
                break
            num_common += 1
        return num_common

    def prefill(self, token_ids: Sequence[int], cancel: CancelToken) -> tuple[Logits, int]:
        """Make the cache hold exactly `token_ids`; return its last logits and how many were reused.

        Logits are [1, vocab_size]. The last token is read again even if it is held, because its
        logits are not. Raises RequestCancelledError; what was read by then stays in the cache.
        """
        assert 0 < len(token_ids) <= self._cache.capacity
        num_common = min(self.num_common(token_ids), len(token_ids) - 1)
        num_reused = self._rewind(num_common)
        stops = {num_common, len(token_ids)}
        if self._cache.goes_back_to_runs:
            stops.add(len(token_ids) - NUM_LIKELY_CHANGED)
        logits: Logits | None = None
        for start, end in _runs(num_reused, stops):
            logits = self.append(token_ids[start:end], cancel)
        assert logits is not None
        return logits, num_reused

    def hold(self, token_ids: Sequence[int], cancel: CancelToken) -> None:
        """Make the cache hold exactly `token_ids`; logits that are known need no second reading.

        Raises RequestCancelledError; what was read by then stays in the cache.
        """
        for start, end in _runs(self._rewind(self.num_common(token_ids)), {len(token_ids)}):
            self.append(token_ids[start:end], cancel)

    def append(
        self, token_ids: Sequence[int], cancel: CancelToken, *, num_logits: int = 1
    ) -> Logits:
        """Read more tokens; return the last rows of logits, [num_logits, vocab_size]."""
        logits = self._model.forward(token_ids, self._cache, num_logits=num_logits, cancel=cancel)
        self._token_ids.extend(token_ids)
        return logits

    def _rewind(self, length: int) -> int:
        """Go back to `length` tokens, or to fewer where the cache cannot; return how many."""
        reached = self._cache.rewind(length)
        del self._token_ids[reached:]
        return reached


def _runs(first: int, stops: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Cut what is read from `first` on at each stop behind it, and into chunks between them.

    Caches that go back only to where a run ended can then go back to the stops.
    """
    for stop in sorted(stops):
        for start in range(first, stop, PREFILL_CHUNK):
            yield start, min(start + PREFILL_CHUNK, stop)
        first = max(first, stop)


class SessionPool:
    """A few sessions; the one that already holds most of a prompt serves it."""

    def __init__(self, model: LanguageModel, *, max_sessions: int) -> None:
        self._model = model
        self._max_sessions = max_sessions
        self._sessions: list[Session] = []  # most recently used last

    def session_for(self, token_ids: Sequence[int]) -> Session:
        """Return the best session to prefill with `token_ids`.

        That is the one which holds the longest common prefix of at least half the prompt or of
        half of what the session holds; else a new one; else the one unused for longest.
        """
        session = self._best_match(token_ids) or self._fresh()
        if session in self._sessions:
            self._sessions.remove(session)
        self._sessions.append(session)
        return session

    def _best_match(self, token_ids: Sequence[int]) -> Session | None:
        best = max(self._sessions, key=lambda session: session.num_common(token_ids), default=None)
        if best is None:
            return None
        enough = min(len(token_ids), max(1, len(best.token_ids))) // 2
        return best if best.num_common(token_ids) > enough else None

    def _fresh(self) -> Session:
        if len(self._sessions) < self._max_sessions:
            return Session(self._model)
        return self._sessions[0]
