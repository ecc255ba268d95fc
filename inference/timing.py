"""Where a request's time went, in milliseconds, by a clock that never goes back."""

import contextlib
import time
from collections.abc import Generator

import msgspec


class Timings(msgspec.Struct, kw_only=True):
    """Milliseconds; zero where a stage was not reached.

    `first_token_ms` counts from the start of work on the request to the first new text, so it
    contains `prefill_ms` and not `queue_ms`.
    """

    queue_ms: float = 0.0
    prompt_ms: float = 0.0
    prefill_ms: float = 0.0
    first_token_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0


def now_ms() -> float:
    return time.perf_counter() * 1000.0


@contextlib.contextmanager
def stopwatch(timings: Timings, field: str) -> Generator[None]:
    """Add the block's duration to `timings.<field>`, also when it raises."""
    start = now_ms()
    try:
        yield
    finally:
        setattr(timings, field, getattr(timings, field) + now_ms() - start)
