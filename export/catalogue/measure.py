"""Guess which model this machine answers in time: writing is bound by how fast memory is read."""

import time
from typing import Final

import numpy as np

from export.catalogue.entries import Entry, catalogue
from export.catalogue.install import total_memory

BYTES_PER_PARAMETER: Final = 0.75
"""4 bits and a scale for blocks of 32, and a head in 8 bits."""

LINE_TOKENS: Final = 12
IN_TIME_MS: Final = 400
"""What a person waits for the rest of a line before having written it."""

_MEASURED_BYTES: Final = 256 << 20
_ROUNDS: Final = 5


def bytes_per_second() -> float:
    """Return how fast this machine reads its memory, the best of a few tries; about a second."""
    block = np.ones(_MEASURED_BYTES // 8)
    best = 0.0
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        block.sum()
        best = max(best, _MEASURED_BYTES / (time.perf_counter() - started))
    return best


def line_ms(entry: Entry, rate: float) -> float:
    """Return the milliseconds that a line takes to write, once its prompt was read."""
    return 1000 * LINE_TOKENS * entry.active * BYTES_PER_PARAMETER / rate


def proposal(rate: float) -> Entry:
    """Return the largest model that fills holes, fits memory and writes a line in time.

    Where none does it is the smallest.
    """
    memory = total_memory()
    fitting = [
        entry
        for entry in catalogue()
        if entry.fills_holes
        and line_ms(entry, rate) <= IN_TIME_MS
        and (memory is None or (entry.memory << 20) <= memory / 2)
    ]
    tried = [entry for entry in fitting if entry.tried]
    # A model that nobody tried is not proposed while there is one that somebody did.
    return max(tried or fitting or [catalogue()[0]], key=lambda entry: entry.parameters)
