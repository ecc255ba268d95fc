"""A completion ends where a reader would say the line or the block ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import Scope
from inference.decoding.stopping import repetition, stop_rule
from inference.languages import language_for


def check(
    prefix: str, *, writes: str, keeps: str | None, scope: Scope = "block", language: str = "python"
) -> None:
    """Feed `writes` a character at a time; `keeps` is the text at the stop, None for no stop."""
    stop, _ = stop_rule(scope, language_for(language), prefix)
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


@given(st.text(alphabet="ab (){}:\n\t", max_size=60), st.sampled_from(["python", "markdown"]))
def test_where_it_ends_does_not_depend_on_how_the_text_arrives(text: str, language: str) -> None:
    stop, _ = stop_rule("block", language_for(language), "    ")
    ends = [stop(text[:length]) for length in range(len(text) + 1)]
    found = [end for end in ends if end is not None]
    assert len(set(found)) <= 1


@pytest.mark.parametrize("scope", ["line", "block"])
@given(text=st.text(alphabet="a \n", max_size=40))
def test_an_end_lies_inside_the_text(scope: Scope, text: str) -> None:
    stop, _ = stop_rule(scope, language_for("python"), "  a")
    end = stop(text)
    assert end is None or (0 <= end <= len(text) and text[end : end + 1] == "\n")


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


@given(st.text(alphabet="ab \n", max_size=30))
def test_what_is_kept_of_a_repetition_is_whole_lines(text: str) -> None:
    num_kept = repetition(text)
    assert num_kept is None or num_kept == 0 or text[num_kept] == "\n"
