"""How long reading takes on this machine, measured while it runs.

A run of n tokens takes the time of one, which reads all weights, and something for each more:
14.8 ms for one, 57 for 16, 174 for 64, 333 for 128 (0.5B parameters in int4, two cores). So two
runs of different length say what all others take. What is measured later counts more.
"""

from typing import Final

from inference.cancellation import CancelToken
from inference.runtime.language_model import LanguageModel
from inference.timing import now_ms

WEIGHT: Final = 0.2
"""Of what was measured last."""

FIRST_SHARE_OF_MORE: Final = 0.18
"""What a token more takes of the time of the first, before it was measured."""

MEASURED_RUNS: Final = (1, 1, 32)
"""Tokens of the runs that are measured when a model was loaded. The first of a length also
allocates what it works in."""


class Pace:
    """Milliseconds of a run with one token, and of each token more; none before a measurement."""

    def __init__(self) -> None:
        self._step_ms: float | None = None
        self._more_ms: float | None = None

    @property
    def step_ms(self) -> float:
        """What one token takes, read or written."""
        return self._step_ms or 0.0

    def note(self, num_tokens: int, milliseconds: float) -> None:
        """Take what a reading of so many tokens took; chunks of a longer one count as one run."""
        if num_tokens == 1:
            self._step_ms = _blended(self._step_ms, milliseconds)
        elif num_tokens > 1 and self._step_ms is not None:
            more_ms = max(0.0, milliseconds - self._step_ms) / (num_tokens - 1)
            self._more_ms = _blended(self._more_ms, more_ms)

    def run_ms(self, num_tokens: int) -> float:
        """Return what a run takes; in the time of one token where nothing is known yet."""
        step_ms = 1.0 if self._step_ms is None else self._step_ms
        more_ms = FIRST_SHARE_OF_MORE * step_ms if self._more_ms is None else self._more_ms
        return step_ms + more_ms * (num_tokens - 1)

    def num_affordable(self, milliseconds: float) -> int | None:
        """Return how many tokens can be read in that time; None where nothing is known."""
        if self._step_ms is None or self._more_ms is None:
            return None
        return 1 + max(0, int((milliseconds - self._step_ms) / max(self._more_ms, 1e-6)))


def measure_pace(model: LanguageModel, pace: Pace) -> None:
    """Read a few tokens, which are forgotten."""
    cache = model.create_cache()
    for num_tokens in MEASURED_RUNS:
        if cache.length + num_tokens <= cache.capacity:
            started = now_ms()
            model.forward([0] * num_tokens, cache, num_logits=1, cancel=CancelToken())
            pace.note(num_tokens, now_ms() - started)


def _blended(before: float | None, now: float) -> float:
    return now if before is None else before + WEIGHT * (now - before)
