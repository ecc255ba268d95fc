"""What speaks for a completion and against it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import Completion, CompletionRequest, FinishReason, SyntaxCheck
from lsp_server.policy.evidence import FIELDS, MAX_ERRORS, UNSURE, evidence


def check(source: str, text: str, *, errors: tuple[int, int] = (0, 0), **expected: float) -> None:
    prefix, suffix = source.split("<|>")
    request = CompletionRequest(document="a", prefix=prefix, suffix=suffix)
    syntax = SyntaxCheck(scope="code", num_errors_before=errors[0], num_errors_after=errors[1])
    completion = Completion(
        text=text, finish_reason=FinishReason.LINE, log_probabilities=(-1.0, -3.0), syntax=syntax
    )
    found = evidence(request, completion)
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected)


def test_it_tells_how_sure_the_model_was() -> None:
    check("x = <|>", "1", mean=-2, lowest=-3 / 4, first=-1)


def test_names_that_stand_nowhere_are_unknown() -> None:
    check("total = 1\nx = <|>\nprice = 2", "total + price", unknown=0)
    check("total = 1\nx = <|>", "total + price", unknown=1 / 2)
    check("x = <|>", "a + 1", unknown=0)


def test_a_name_that_the_user_began_is_looked_up_whole() -> None:
    check("total = 1\nx = to<|>", "tal", unknown=0)
    check("total = 1\nx = to<|>", "day", unknown=1)


def test_errors_that_it_adds_speak_against_it() -> None:
    check("x<|>", "1", errors=(1, 3), new_errors=2, mended_errors=0)
    check("x<|>", "1", errors=(2, 0), new_errors=0, mended_errors=2)
    check("x<|>", "1", errors=(0, 99), new_errors=MAX_ERRORS)


def test_it_tells_what_the_place_is() -> None:
    check("x = 1\n    <|>\n", "y", line_is_empty=1, follows_on_line=0, behind_word=0)
    check("x = a<|>)\n", "y", line_is_empty=0, follows_on_line=1, behind_word=1)


@given(st.text(), st.text(), st.text(min_size=1), st.lists(st.floats(-1e6, 0), max_size=20))
def test_it_is_a_few_plain_numbers_whatever_the_text(
    prefix: str, suffix: str, text: str, logs: list[float]
) -> None:
    request = CompletionRequest(document="a", prefix=prefix, suffix=suffix)
    completion = Completion(
        text=text, finish_reason=FinishReason.LINE, log_probabilities=tuple(logs)
    )
    found = evidence(request, completion)
    assert all(UNSURE <= getattr(found, name) <= 10 for name in FIELDS)
