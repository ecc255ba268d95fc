"""Compare two texts, the written and the removed one. Pure."""

import numpy as np


def edit_similarity(written: str, removed: str) -> float:
    """Return 1 - distance / length of the longer, in characters: 1 for the same text, 0 for none.

    The definition of RepoCoder (Zhang et al. 2023, arXiv:2303.12570) and of IntelliCode Compose
    (Svyatkovskiy et al. 2020, arXiv:2005.08025).
    """
    longest = max(len(written), len(removed))
    return 1.0 - levenshtein(written, removed) / longest if longest else 1.0


def levenshtein(first: str, second: str) -> int:
    """Return the fewest characters to insert, delete or replace (Wagner and Fischer 1974).

    One row of the table at a time. Within a row, an insertion depends on the cell to its left;
    subtracting the column's number turns that chain into a running minimum.
    """
    codes = _codes(second)
    columns = np.arange(len(codes) + 1)
    row = columns
    for number, code in enumerate(_codes(first), start=1):
        best = np.empty_like(row)
        best[0] = number
        best[1:] = np.minimum(row[1:] + 1, row[:-1] + (codes != code))
        row = np.minimum.accumulate(best - columns) + columns
    return int(row[-1])


def is_perfect_line(written: str, removed: str) -> bool:
    """Compare the first lines; white space at their ends is nobody's concern."""
    return _first_line(written) == _first_line(removed)


def is_exact(written: str, removed: str) -> bool:
    return written.rstrip() == removed.rstrip()


def is_empty(written: str) -> bool:
    """Return whether nothing was written that an editor would show."""
    return not written.strip()


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].rstrip()


def _codes(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
