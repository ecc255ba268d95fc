"""What is shown leaves a file no worse than it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import FinishReason
from inference.decoding.soundness import BROKEN_OFF, adds_no_errors, sound
from inference.syntax import place


def check(
    text: str,
    writes: str,
    *,
    keeps: str,
    language: str = "python",
    reason: FinishReason = FinishReason.BLOCK,
) -> None:
    """Write behind the cursor `<|>` of a text; `keeps` is what may be shown of it."""
    prefix, _, suffix = text.partition("<|>")
    found = sound(writes, reason, place(prefix, suffix, language))
    assert found.text == keeps


@pytest.mark.parametrize(
    ("language", "text", "writes", "keeps"),
    [
        ("python", "def f():\n    <|>\n", "a = 1\n    return a", "a = 1\n    return a"),
        ("python", "def f():\n    <|>\n", "a = 1\n    return a)", "a = 1"),
        ("python", "def f():\n    <|>\n", 'a = 1\n    """', "a = 1"),
        ("javascript", "function f() {\n  <|>\n}\n", "a();\n}", "a();"),
        ("javascript", "function f() {\n  <|>\n}\n", "a();\n  if (b) {", "a();"),
        ("c", "int f() {\n  <|>\n}\n", "g();\n  while (1) {\n    h();", "g();"),
        ("klingon", "a <|>\n", "(\n(\n(", "(\n(\n("),
    ],
)
def test_lines_that_add_errors_are_not_shown(
    language: str, text: str, writes: str, keeps: str
) -> None:
    check(text, writes, keeps=keeps, language=language)


def test_where_nothing_is_sound_the_first_line_is_left_to_be_judged() -> None:
    check("int f() {\n  <|>\n}\n", "if (a) {\n  b();\n  c();", keeps="if (a) {", language="c")
    check("x = <|>\n", "(1", keeps="(1")


@pytest.mark.parametrize("reason", sorted(BROKEN_OFF))
@pytest.mark.parametrize("language", ["python", "klingon"])
def test_half_a_line_ends_no_block(reason: FinishReason, language: str) -> None:
    check("<|>", "a = 1\nb = na", keeps="a = 1", language=language, reason=reason)
    check("<|>", "a = na", keeps="a = na", language=language, reason=reason)


PIECES = st.sampled_from(["a", "(", ")", "if a:", "    ", "\n", '"""', "else:", " = 1", "b"])


@given(st.lists(PIECES, max_size=12).map("".join), st.lists(PIECES, max_size=4).map("".join))
def test_what_is_left_is_a_beginning_and_adds_no_errors_or_is_one_line(
    writes: str, before: str
) -> None:
    found = sound(writes, FinishReason.BLOCK, place(before, "\nc = 2\n", "python"))
    assert writes.startswith(found.text)
    assert adds_no_errors(found.syntax) or len(found.text.strip().splitlines()) <= 1
    assert bool(found.text) == bool(writes.strip())
