"""A completion ends where a reader would say the line or the block ends."""

import sys
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import Scope, SyntaxScope, Unit
from inference.decoding.loops import repetition
from inference.decoding.stopping import fills_line, stop_rule, unit_for
from inference.languages import language_for


def check(
    prefix: str,
    *,
    writes: str,
    keeps: str | None,
    scope: Scope = "block",
    language: str = "python",
    suffix: str = "",
    syntax: SyntaxScope | None = None,
) -> None:
    """Feed `writes` a character at a time; `keeps` is the text at the stop, None for no stop."""
    stop = stop_rule(unit_for(scope, syntax, prefix, suffix), language_for(language), prefix)
    for length in range(1, len(writes) + 1):
        num_kept = stop(writes[:length])
        if num_kept is not None:
            assert writes[:num_kept] == keeps
            return
    assert keeps is None


def test_a_line_ends_before_its_break() -> None:
    check("x = ", writes="1\ny = 2\n", keeps="1", scope="line")


def test_a_line_that_goes_on_has_no_end() -> None:
    check("x = ", writes="1 + 2", keeps=None, scope="line")


def test_a_break_at_once_leaves_an_empty_line() -> None:
    check("x = 1", writes="\ny = 2", keeps="", scope="line")


def test_the_body_of_a_function_ends_where_it_is_left() -> None:
    check("def f():\n    ", writes="a = 1\n    return a\ng()\n", keeps="a = 1\n    return a")


def test_deeper_lines_belong_to_the_body() -> None:
    check("def f():\n    ", writes="if a:\n        b\n    c\nd", keeps="if a:\n        b\n    c")


def test_a_body_is_written_behind_its_header() -> None:
    check("def f(a):", writes="\n    return a\ng(", keeps="\n    return a")


def test_a_statement_ends_at_the_next_one() -> None:
    check("    x = ", writes="1\n    y = 2", keeps="1")


def test_a_closing_bracket_belongs_to_the_call() -> None:
    check("f(", writes="\n    a,\n)\ng()", keeps="\n    a,\n)")


def test_a_brace_closes_its_block() -> None:
    check(
        "if (a) {",
        writes="\n  b();\n}\nc();",
        keeps="\n  b();\n}",
        language="javascript",
    )


def test_the_brace_of_an_outer_block_does_not_belong() -> None:
    check("{\n  ", writes="a();\n  b();\n}\n", keeps="a();\n  b();", language="javascript")


def test_a_line_after_a_blank_one_begins_something_new() -> None:
    check("", writes="def f():\n    return 1\n\n\ndef g", keeps="def f():\n    return 1\n\n")


def test_a_deeper_line_after_a_blank_one_still_belongs() -> None:
    check("def f():", writes="\n    a\n\n    b\nc", keeps="\n    a\n\n    b")


def test_the_first_line_written_sets_the_indentation_of_an_empty_one() -> None:
    check("def f():\n", writes="    a\n    b\nc", keeps="    a\n    b")


def test_breaks_before_the_first_line_do_not_end_it() -> None:
    check("import os\n", writes="\n\nx = 1\ny = 2\n\nz", keeps="\n\nx = 1\ny = 2\n")


def test_tabs_are_indentation() -> None:
    check("\t", writes="a\n\tb\nc", keeps="a\n\tb", language="go")


def test_prose_ends_with_its_paragraph() -> None:
    check("Once ", writes="upon a time\nthere was\n\nThe", keeps="upon a time\nthere was",
          language="markdown")  # fmt: skip


def test_an_unknown_language_is_prose() -> None:
    check("a", writes="b\n\nc", keeps="b", language="klingon")


@pytest.mark.parametrize(
    ("language", "prefix", "writes", "keeps"),
    [
        ("python", "    if a:", "\n        b\n    else:\n        c\n    d", None),
        ("python", "    if a:", "\n        b\n    elsewhere", "\n        b"),
        ("python", "    if a:", "\n        b\n    else_(c)", "\n        b"),
        ("python", "    try:", "\n        b\n    except A:\n        c\n    d", None),
        ("python", "    if a:", "\n        b\nelse:", "\n        b"),
        ("javascript", "if (a) {", "\n  b();\n} else {\n  c();\n}\nd()", None),
        ("javascript", "if (a)", "\n  b();\nelse\n  c();\nd()", "\n  b();\nelse\n  c();"),
        ("lua", "if a then", "\n  b()\nend\nc()", "\n  b()\nend"),
        ("ruby", "def a", "\n  b\nrescue\n  c\nend\nd", "\n  b\nrescue\n  c\nend"),
        ("shellscript", "for a in b; do", "\n  c\ndone\nx", "\n  c\ndone"),
        ("shellscript", "if a", "\nthen\n  c\nfi\nx", "\nthen\n  c\nfi"),
    ],
)
def test_what_goes_on_with_a_statement_belongs_to_it(
    language: str, prefix: str, writes: str, keeps: str | None
) -> None:
    if keeps is None:
        keeps = writes.rpartition("\n")[0]
    check(prefix, writes=writes, keeps=keeps, scope="auto", language=language)


@pytest.mark.parametrize(
    ("writes", "keeps"),
    [
        ("a = 1\n    b = 2", "a = 1"),
        ("a = f(\n        1,\n    )\n    b", "a = f(\n        1,\n    )"),
        ("if a:\n        b\n    else:\n        c\n    d", "if a:\n        b\n    else:\n        c"),
        ("a = 1\n\n    b = 2", "a = 1\n"),
    ],
)
def test_a_statement_on_a_line_of_its_own_ends_at_the_next_one(writes: str, keeps: str) -> None:
    check("def f():\n    ", writes=writes, keeps=keeps, scope="statement")


@pytest.mark.parametrize(
    ("writes", "keeps"),
    [("me, other", "me"), (" + b", " + b"), ("\nb", ""), ("._b2(c)", "._b2"), ("(", None)],
)
def test_a_word_ends_behind_its_last_character(writes: str, keeps: str | None) -> None:
    check("na", writes=writes + " " * (keeps == writes), keeps=keeps, scope="word")


def test_what_belongs_to_a_word_is_the_languages() -> None:
    check("a { ", writes="margin-top: 1", keeps="margin-top", scope="word", language="css")


@pytest.mark.parametrize("syntax", ["comment", "string"])
def test_a_comment_and_a_string_end_with_their_line(syntax: SyntaxScope) -> None:
    check("# why", writes=" not\nx = 1", keeps=" not", scope="auto", syntax=syntax)


def test_inside_a_word_the_rest_of_it_is_written() -> None:
    check("na", writes="me_of", keeps=None, scope="auto", suffix="ed = 1")
    check("na", writes="me of", keeps="me", scope="auto", suffix="ed = 1")


@pytest.mark.parametrize("suffix", ["", "\nx", "  \t\r\nx", " \rx"])
def test_where_nothing_follows_on_the_line_a_block_is_written(suffix: str) -> None:
    check("def f():", writes="\n  a\n  b\nc", keeps="\n  a\n  b", scope="auto", suffix=suffix)


@pytest.mark.parametrize("suffix", [")", "  # why", ":\n  pass"])
def test_where_something_follows_on_the_line_only_the_line_is_written(suffix: str) -> None:
    check("print(", writes="a\nb", keeps="a", scope="auto", suffix=suffix)


@pytest.mark.parametrize("prefix", ["", "a\n", "a\r\n", "a\r", "if a:\n    ", "a\n\t \t"])
def test_a_line_that_begins_blank_is_no_answer(prefix: str) -> None:
    assert fills_line("line", prefix)
    assert fills_line("word", prefix)
    assert not fills_line("block", prefix)


@pytest.mark.parametrize("prefix", ["a", "a\nb ", "a\r\n  b"])
def test_a_line_behind_code_may_end_at_once(prefix: str) -> None:
    assert not fills_line("line", prefix)


UNITS = st.sampled_from(get_args(Unit))
LANGUAGES = st.sampled_from(["python", "markdown", "lua"])
CURSOR_LINES = st.sampled_from(["", "    ", "  a", "\tf("])


@given(st.text(alphabet="ab (){}:\n\tends", max_size=60), UNITS, LANGUAGES, CURSOR_LINES)
def test_where_it_ends_does_not_depend_on_how_the_text_arrives(
    text: str, unit: Unit, language: str, cursor_line: str
) -> None:
    def end_of(*pieces: str) -> int | None:
        stop = stop_rule(unit, language_for(language), cursor_line)
        ends = [stop(piece) for piece in pieces]
        return next((end for end in ends if end is not None), None)

    at_once, by_character = end_of(text), end_of(*(text[:n] for n in range(len(text) + 1)))
    # Given whole it may end where a blank line follows that was never finished before.
    assert at_once == by_character


@pytest.mark.parametrize("unit", get_args(Unit))
@given(text=st.text(alphabet="a \n", max_size=40))
def test_an_end_lies_inside_the_text(unit: Unit, text: str) -> None:
    end = stop_rule(unit, language_for("python"), "  a")(text)
    ends = ("\n",) if unit != "word" else ("\n", " ")
    assert end is None or (0 <= end <= len(text) and text[end : end + 1] in ends)


def num_operations(act: Callable[[], object]) -> int:
    """Count the calls, of Python's functions and of built-in ones, that something takes."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("unit", ["line", "statement", "block"])
@pytest.mark.parametrize("language", ["python", "markdown"])
def test_a_token_costs_the_same_wherever_it_stands(unit: Unit, language: str) -> None:
    """As it is written: the rules see the text after each token, and so does `repetition`."""
    lines = [f"    total_{n} = first_{n * 7919 % 1000} + {n}" for n in range(2_000)]
    text = (" ".join if unit == "line" else "\n".join)(lines)

    def cost_at(length: int) -> int:
        stop = stop_rule(unit, language_for(language), "def f():")
        assert stop(text[:length]) is None
        return num_operations(lambda: (stop(text[: length + 4]), repetition(text[: length + 4])))

    assert cost_at(50_000) <= cost_at(1_024) + 4
