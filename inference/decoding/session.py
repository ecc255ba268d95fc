"""Keep what the model has already read, and forget exactly what it has not.

A Session knows token ids and cache lengths. It knows nothing of text, requests or time.

Invariant 10: cache.length == len(token_ids), also after an exception or a cancellation.
Invariant 12: what was reused never changes the output.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from inference.cancellation import CancelToken
from inference.runtime.language_model import LanguageModel, Logits, Predictor

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

    @property
    def goes_back_to_runs(self) -> bool:
        """Whether what was read can only be forgotten whole runs at a time."""
        return self._cache.goes_back_to_runs

    def num_common(self, token_ids: Sequence[int]) -> int:
        """Count the leading tokens that the cache already holds."""
        held, wanted = self._token_ids, list(token_ids)
        longest = min(len(held), len(wanted))
        if held[:longest] == wanted[:longest]:
            return longest
        # Slices are compared faster than their items are one by one.
        return bisect_left(range(1, longest + 1), True, key=lambda n: held[:n] != wanted[:n])

    def prefill(self, token_ids: Sequence[int], cancel: CancelToken) -> tuple[Logits, int]:
        """Make the cache hold exactly `token_ids`; return its last logits and how many were reused.

        Logits are [1, vocab_size]. The last token is read again even if it is held, because its
        logits are not. Raises RequestCancelledError; what was read by then stays in the cache.
        """
        assert 0 < len(token_ids) <= self._cache.capacity
        num_common = min(self.num_common(token_ids), len(token_ids) - 1)
        num_reused = self._rewind(num_common)
        stops = {num_common, len(token_ids)}
        if self.goes_back_to_runs:
            stops.add(len(token_ids) - NUM_LIKELY_CHANGED)
        logits: Logits | None = None
        for start, end in _runs(num_reused, stops):
            logits = self.append(token_ids[start:end], cancel)
        assert logits is not None
        return logits, num_reused

    def hold(
        self, token_ids: Sequence[int], cancel: CancelToken, *, chunk: int = PREFILL_CHUNK
    ) -> None:
        """Make the cache hold exactly `token_ids`; logits that are known need no second reading.

        Raises RequestCancelledError; what was read by then stays in the cache.
        """
        first = self._rewind(self.num_common(token_ids))
        for start, end in _runs(first, {len(token_ids)}, chunk):
            self.append(token_ids[start:end], cancel)

    def append(
        self, token_ids: Sequence[int], cancel: CancelToken, *, num_logits: int = 1
    ) -> Logits:
        """Read more tokens; return the last rows of logits, [num_logits, vocab_size]."""
        logits = self._model.forward(token_ids, self._cache, num_logits=num_logits, cancel=cancel)
        self._token_ids.extend(token_ids)
        return logits

    def guess(
        self, predictor: Predictor, token_id: int, *, num_tokens: int, cancel: CancelToken
    ) -> Sequence[int]:
        """Return what a predictor guesses behind a token that comes next and is not read yet."""
        token_ids = [*self._token_ids, token_id]
        return predictor.guess(token_ids, self._cache, num_tokens=num_tokens, cancel=cancel)

    def drop(self, num_tokens: int) -> None:
        """Forget the last tokens, where the cache goes back to any length."""
        if num_tokens:
            length = self._cache.length - num_tokens
            reached = self._rewind(length)
            assert reached == length

    def _rewind(self, length: int) -> int:
        """Go back to `length` tokens, or to fewer where the cache cannot; return how many."""
        reached = self._cache.rewind(length)
        del self._token_ids[reached:]
        return reached


def _runs(
    first: int, stops: Iterable[int], chunk: int = PREFILL_CHUNK
) -> Iterator[tuple[int, int]]:
    """Cut what is read from `first` on at each stop behind it, and into chunks between them.

    Caches that go back only to where a run ended can then go back to the stops.
    """
    for stop in sorted(stops):
        for start in range(first, stop, chunk):
            yield start, min(start + chunk, stop)
        first = max(first, stop)
