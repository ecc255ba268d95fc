"""How alike what was written and what was there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.similarity import (
    edit_similarity,
    is_empty,
    is_exact,
    is_perfect_line,
    levenshtein,
)


def check(written: str, removed: str, *, distance: int, similarity: float) -> None:
    assert levenshtein(written, removed) == distance
    assert edit_similarity(written, removed) == pytest.approx(similarity)


def test_the_same_text() -> None:
    check("return a", "return a", distance=0, similarity=1.0)


def test_nothing_was_written() -> None:
    check("", "abcd", distance=4, similarity=0.0)


def test_nothing_at_all_is_alike() -> None:
    check("", "", distance=0, similarity=1.0)


def test_one_letter_is_another() -> None:
    check("abcd", "abxd", distance=1, similarity=0.75)


def test_one_letter_is_missing() -> None:
    check("abd", "abcd", distance=1, similarity=0.75)


def test_the_textbook_pair() -> None:
    check("kitten", "sitting", distance=3, similarity=4 / 7)


def test_characters_count_not_bytes() -> None:
    check("🦑a", "🦑b", distance=1, similarity=0.5)


TEXTS = st.text(alphabet="abc🦑\n", max_size=12)


def recursive(first: str, second: str) -> int:
    """The definition, for short texts."""
    if not first or not second:
        return len(first) + len(second)
    return min(
        recursive(first[1:], second) + 1,
        recursive(first, second[1:]) + 1,
        recursive(first[1:], second[1:]) + (first[0] != second[0]),
    )


@given(st.text(alphabet="abc", max_size=5), st.text(alphabet="abc", max_size=5))
def test_it_is_the_definition(first: str, second: str) -> None:
    assert levenshtein(first, second) == recursive(first, second)


@given(TEXTS, TEXTS, TEXTS)
def test_it_is_a_distance(first: str, second: str, third: str) -> None:
    assert (levenshtein(first, second) == 0) == (first == second)
    assert levenshtein(first, second) == levenshtein(second, first)
    direct = levenshtein(first, third)
    assert direct <= levenshtein(first, second) + levenshtein(second, third)
    assert 0.0 <= edit_similarity(first, second) <= 1.0


@pytest.mark.parametrize(
    ("written", "removed", "is_perfect", "is_the_same"),
    [
        ("a = 1", "a = 1", True, True),
        ("a = 1  ", "a = 1", True, True),
        ("a = 1\nb", "a = 1\nc", True, False),
        ("a = 1\n", "a = 1", True, True),
        (" a = 1", "a = 1", False, False),
        ("\na = 1", "a = 1", False, False),
        ("a = 1", "a = 1\r\nb", True, False),
        ("", "a", False, False),
    ],
)
def test_lines_and_the_whole(
    written: str, removed: str, *, is_perfect: bool, is_the_same: bool
) -> None:
    assert is_perfect_line(written, removed) == is_perfect
    assert is_exact(written, removed) == is_the_same


@pytest.mark.parametrize("written", ["", " ", "\n\t"])
def test_what_shows_nothing_is_empty(written: str) -> None:
    assert is_empty(written)
    assert not is_empty(f"{written}a")
