"""Notice when a text says the same thing again and again, inside a line or line by line.

Pure. A model that has nothing to say falls into such loops and does not leave them by itself; what
stands above the cursor counts, since what was accepted there was written by the same model.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

MIN_REPEATS: Final = 3
MIN_REPEATED: Final = 3
"""Characters: shorter runs are numbers, ornaments and indentation."""

MAX_REPEATED: Final = 256
"""Characters: looking for longer ones would cost more with every token that is written."""

BRACKETS: Final = frozenset("()[]{}")
MIN_BRACKETS: Final = 8
"""Brackets of one kind in a row; rulers of other marks are drawn on purpose."""

WINDOW_LINES: Final = 24
"""Lines above in which a line is looked for, blank ones not counted."""

MAX_SAME_LINES: Final = 2
"""A line that stands so often in the window is not written again behind what it stood behind."""

MAX_LINES_ANYWHERE: Final = 3
"""Nor is one that stands so often, whatever it stands behind: each guard may `return False`."""

MIN_LETTERS: Final = 3
"""Shorter lines, closing brackets and `else`, stand where they must, whatever stands above."""


def repetition(text: str) -> int | None:
    """Stop when the end says the same thing MIN_REPEATS times over; keep the lines before it.

    A line that repeats itself inside is not kept, lines that are repeated are kept once. A model
    that has nothing to say falls into such loops and does not leave them by itself.
    """
    last = text[-1:]
    if last in BRACKETS and text.endswith(last * MIN_BRACKETS):
        return max(0, text.rfind("\n"))
    window = text[-MIN_REPEATS * MAX_REPEATED :]
    if len(window) < MIN_REPEATS * MIN_REPEATED:
        return None
    tail = window[-MIN_REPEATED:]
    # What is said again ends in the same characters, so only the places where they stand are tried.
    place = len(window) - MIN_REPEATED
    while (place := window.rfind(tail, 0, max(0, place + MIN_REPEATED - 1))) >= 0:
        length = len(window) - MIN_REPEATED - place
        if length * MIN_REPEATS > len(window):
            return None
        unit = window[-length:]
        is_again = length >= MIN_REPEATED and window.endswith(unit * MIN_REPEATS)
        if is_again and any(map(str.isalnum, unit)):
            end = len(text) - length * (MIN_REPEATS - 1)
            return end if text[end] == "\n" else max(0, text.rfind("\n", 0, end))
    return None


def num_without_loop(above: Sequence[str], lines: Sequence[str]) -> int:
    """Return how many of `lines` to keep: those before the first that only says what was said.

    `above` are the lines before them, the first of `lines` is whole. A line says nothing where it
    is the one above again, or stands twice in the window above and once behind the same line as
    here, or too often anywhere.
    """
    window = [line.rstrip() for line in above if line.strip()][-WINDOW_LINES:]
    for index, line in enumerate(lines):
        shown = line.rstrip()
        if _is_said(window, shown) and sum(map(str.isalpha, shown)) >= MIN_LETTERS:
            return index
        if shown:
            window = [*window[1 - WINDOW_LINES :], shown]
    return len(lines)


def _is_said(window: Sequence[str], line: str) -> bool:
    if window[-1:] == [line]:
        return True
    num_same = window.count(line)
    if num_same < MAX_SAME_LINES:
        return False
    return num_same >= MAX_LINES_ANYWHERE or (window[-1], line) in pairwise(window)
