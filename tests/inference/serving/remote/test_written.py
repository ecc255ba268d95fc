"""written: what an endpoint writes ends and fits as what our own model writes does."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import CompletionRequest, FinishReason
from inference.serving.remote.dialects import Piece, Way
from inference.serving.remote.written import Written, find_place

MARKERS = ("<E>", "<P>")
LANGUAGE = "python"


def written(request: CompletionRequest, pieces: Sequence[str], *, ended: str = "stop") -> Written:
    """Return what has taken pieces up to the end, or until it wanted no more."""
    taken = Written(Way.SUFFIX, request, find_place(request), MARKERS)
    for text in pieces:
        if taken.add(Piece(text=text)):
            return taken
    taken.add(Piece(ended=ended))
    return taken


def check(
    prefix: str,
    *pieces: str,
    gives: str,
    reason: FinishReason,
    suffix: str = "",
    ended: str = "stop",
) -> None:
    request = CompletionRequest(document="", prefix=prefix, suffix=suffix, language=LANGUAGE)
    completion = written(request, pieces, ended=ended).completion(FinishReason.DEADLINE)
    assert (completion.text, completion.finish_reason) == (gives, reason)


def test_a_word_inside_a_word() -> None:
    check("x = na", "me.other", gives="me", suffix="x()\n", reason=FinishReason.WORD)


def test_a_line_in_a_comment() -> None:
    check("# say ", "hello\n# more", gives="hello", reason=FinishReason.LINE)


def test_a_statement_behind_code() -> None:
    check("x = ", "f(\n    1,\n)\ny = 2", gives="f(\n    1,\n)", reason=FinishReason.STATEMENT)


def test_a_block_on_an_empty_line() -> None:
    block = "if a:\n        b()\n    c()"
    check("def f():\n    ", f"{block}\n\ndef g", gives=block, reason=FinishReason.BLOCK)


def test_a_line_end_is_no_answer_where_a_line_is_asked_for() -> None:
    request = CompletionRequest(document="", prefix="x = 1\n", language=LANGUAGE, scope="line")
    taken = written(request, ["\n", "\n", "y =", " 2\n", "z = 3"])
    assert taken.stop == ()
    completion = taken.completion(FinishReason.DEADLINE)
    assert (completion.text, completion.finish_reason) == ("y = 2", FinishReason.LINE)


def test_a_marker_ends_it_wherever_it_is_split() -> None:
    check("x = ", "1<", "E", ">2", gives="1", reason=FinishReason.END_TOKEN)
    check("x = ", "1<P>2", gives="1", reason=FinishReason.END_TOKEN)


def test_the_endpoint_may_end_it() -> None:
    check("x = ", "12", gives="12", reason=FinishReason.END_TOKEN)
    check("x = ", "12", gives="12", ended="length", reason=FinishReason.LENGTH)


def test_half_a_line_is_left_out_where_it_was_cut() -> None:
    whole = "if a:\n        b()"
    cut = f"{whole}\n    c(1, "
    check("def f():\n    ", cut, gives=whole, ended="length", reason=FinishReason.LENGTH)


def test_a_loop_ends() -> None:
    request = CompletionRequest(document="", prefix="x = [", language=LANGUAGE, max_tokens=512)
    taken = written(request, ["1, 2, 3, foo, bar, "] * 100)
    assert taken.reason is FinishReason.REPETITION
    assert len(taken.text) < 400


def test_a_foreign_line_end_becomes_the_files_own() -> None:
    before, written = "if a:\r\n    x = (", ("1,\r", "\n        2)")
    check(before, *written, gives="1,\r\n        2)", reason=FinishReason.END_TOKEN)


def test_first_lines_are_whole_lines() -> None:
    request = CompletionRequest(document="", prefix="x = 1\n", language=LANGUAGE)
    taken = Written(Way.SUFFIX, request, find_place(request))
    assert not taken.has_whole_line
    taken.add(Piece(text="if a:\n    b()\n    c"))
    assert taken.has_whole_line
    assert taken.first_lines().text == "if a:\n    b()"


@pytest.mark.parametrize("prefix", ["x = ", "def f():\n    ", "# ", "x = 1\r\n", "na"])
@given(
    text=st.text("ab=1 ():\n\r<E>#'\"", max_size=80), cuts=st.lists(st.integers(0, 80), max_size=8)
)
def test_how_a_text_is_cut_into_pieces_makes_no_difference(
    prefix: str, text: str, cuts: list[int]
) -> None:
    """Each character by itself, since what comes behind an end is not looked at."""
    request = CompletionRequest(document="", prefix=prefix, language=LANGUAGE)
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    by_character = written(request, list(text))
    in_pieces = written(request, pieces)
    one, other = (taken.completion(FinishReason.DEADLINE) for taken in (by_character, in_pieces))
    assert one.text == other.text
