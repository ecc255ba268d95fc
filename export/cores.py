"""Work on the parts of one array side by side, in pieces that a processor's cache holds."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Result = TypeVar("Result")

SLICE_ELEMENTS: Final = 1 << 18
"""Elements computed together: the temporaries of one slice stay in the processor's cache, and the
system has not to find new memory for each."""


def slices(num_rows: int, row_size: int) -> list[slice]:
    """Cut rows of so many elements into parts whose temporaries stay in the processor's cache."""
    step = max(1, SLICE_ELEMENTS // row_size)
    return [slice(start, start + step) for start in range(0, num_rows, step)]


def on_every_core(work: Callable[[slice], Result], parts: Sequence[slice]) -> list[Result]:
    """Do independent parts side by side, and return what each gives: numpy lets other threads run.

    What each part computes does not depend on how many run.
    """
    if len(parts) == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, parts))
