"""A text that says the same thing again ends before it does, and keeps whole lines."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from inference.decoding.loops import (
    MAX_LINES_ANYWHERE,
    MIN_REPEATED,
    MIN_REPEATS,
    num_without_loop,
    repetition,
)


def check_repetition(writes: str, *, keeps: str | None) -> None:
    num_kept = repetition(writes)
    assert (None if num_kept is None else writes[:num_kept]) == keeps


def test_a_line_that_repeats_itself_is_not_kept() -> None:
    check_repetition("f(1, 1, 1, ", keeps="")


def test_the_lines_before_it_are_kept() -> None:
    check_repetition("a = 1\nb = [1, 1, 1, ", keeps="a = 1")


def test_a_line_said_three_times_is_kept_once() -> None:
    check_repetition("a\n    return x\n    return x\n    return x", keeps="a\n    return x")


def test_twice_is_no_repetition() -> None:
    check_repetition("return x\nreturn x\n", keeps=None)


def test_ornaments_and_blanks_may_be_long() -> None:
    check_repetition("# ---------\n            ", keeps=None)


def test_digits_of_a_number_may_be_equal() -> None:
    check_repetition("x = 0000000", keeps=None)


@given(st.text(alphabet="ab1 \n", max_size=60))
def test_every_repetition_is_found(text: str) -> None:
    """As by the plain rule, which tries each length in turn."""
    lengths = range(MIN_REPEATED, len(text) // MIN_REPEATS + 1)
    units = (text[-length:] for length in lengths)
    is_one = any(
        text.endswith(unit * MIN_REPEATS) and any(map(str.isalnum, unit)) for unit in units
    )
    assert (repetition(text) is not None) == is_one


@given(st.text(alphabet="ab \n", max_size=30))
def test_what_is_kept_of_a_repetition_is_whole_lines(text: str) -> None:
    num_kept = repetition(text)
    assert num_kept is None or num_kept == 0 or text[num_kept] == "\n"


def test_brackets_in_a_row_are_a_repetition_and_rulers_are_none() -> None:
    check_repetition("x\nf" + ")" * 8, keeps="x")
    check_repetition("# " + "=" * 64, keeps=None)


def check_lines(above: str, writes: str, *, keeps: str) -> None:
    lines = writes.split("\n")
    assert lines[: num_without_loop(above.split("\n"), lines)] == keeps.split("\n")[: len(lines)]


def test_the_line_above_is_not_written_again() -> None:
    assert num_without_loop(["    self.a = a"], ["    self.a = a"]) == 0


def test_a_line_that_differs_is_written() -> None:
    check_lines("    self.a = a", "    self.b = b", keeps="    self.b = b")


GUARDS = ["if a:", "    return x", "if b:", "    return x", "if c:"]


def test_every_guard_may_return_the_same() -> None:
    assert num_without_loop(GUARDS, ["    return x"]) == 1
    assert num_without_loop([*GUARDS[:4], "if a:"], ["    return x"]) == 0, "this one was there"


def test_but_not_for_ever() -> None:
    above = [line for mark in "abc" for line in (f"if {mark}:", "    return x")]
    assert num_without_loop([*above, "if d:"], ["    return x"]) == 0


def test_the_same_line_elsewhere_is_written_once_more() -> None:
    check_lines("a = f(x)\nb = g(x)", "a = f(x)", keeps="a = f(x)")


def test_a_line_that_stands_above_twice_is_not() -> None:
    assert num_without_loop(["a = f(x)", "b = g(x)", "a = f(x)", "b = g(x)"], ["a = f(x)"]) == 0


def test_what_closes_a_block_may_stand_often() -> None:
    check_lines("}\n}\n}", "}\n}", keeps="}\n}")


@given(st.lists(st.sampled_from(["abc", "abcd", "}", ""]), max_size=12))
def test_no_line_of_words_is_kept_that_stands_above_so_often(lines: list[str]) -> None:
    kept = [line for line in lines[: num_without_loop([], lines)] if line]
    for word in ("abc", "abcd"):
        assert kept.count(word) <= MAX_LINES_ANYWHERE
        assert (word, word) not in pairwise(kept)
