"""completion: a request's bounds, which everything behind `checked` relies on."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import (
    MAX_TEXT_CHARACTERS,
    Completion,
    CompletionRequest,
    FinishReason,
    checked,
)
from inference.errors import InvalidRequestError

REQUEST = CompletionRequest(document="a.py", prefix="x = ")


def accepts(**fields: object) -> None:
    request = msgspec.structs.replace(REQUEST, **fields)
    assert checked(request) == request


def refuses(error: str, **fields: object) -> None:
    with pytest.raises(InvalidRequestError, match=error) as caught:
        checked(msgspec.structs.replace(REQUEST, **fields))
    assert "canary" not in str(caught.value)


def test_the_least_request_is_accepted() -> None:
    accepts(document="", prefix="")


def test_text_of_the_full_length_is_accepted() -> None:
    accepts(prefix="é" * MAX_TEXT_CHARACTERS, suffix="\U0001d538" * MAX_TEXT_CHARACTERS)


def test_odd_characters_are_accepted() -> None:
    accepts(prefix="\0\f\x85\u2028\ufeff\U0010ffff")


def test_the_bounds_themselves_are_accepted() -> None:
    accepts(max_tokens=1, deadline_ms=1)
    accepts(max_tokens=512, deadline_ms=600_000)


@pytest.mark.parametrize("field", ["prefix", "suffix"])
def test_text_a_character_too_long_is_refused(field: str) -> None:
    text = "canary".ljust(MAX_TEXT_CHARACTERS + 1)
    refuses(rf"str` of length <= 65536 - at `\$\.{field}`", **{field: text})


@pytest.mark.parametrize("field", ["document", "language"])
def test_a_name_a_character_too_long_is_refused(field: str) -> None:
    refuses(f"4096.*{field}", **{field: "canary".ljust(4097)})


@pytest.mark.parametrize("field", ["document", "prefix", "suffix", "language"])
def test_half_a_surrogate_pair_is_refused(field: str) -> None:
    refuses("half a surrogate pair; replace it", **{field: "canary \ud83d"})


@pytest.mark.parametrize("field", ["max_tokens", "deadline_ms"])
@pytest.mark.parametrize("value", [0, -1, 2**31, 2**80, 1.5, float("nan"), "1", True, None])
def test_a_number_out_of_bounds_is_refused(field: str, value: object) -> None:
    refuses("the request is out of bounds", **{field: value})


@pytest.mark.parametrize("value", ["file", "", None, 1])
def test_an_unknown_scope_is_refused(value: object) -> None:
    refuses("scope", scope=value)


@pytest.mark.parametrize("value", [None, 1, b"canary", ["canary"]])
def test_a_prefix_that_is_no_text_is_refused(value: object) -> None:
    refuses("prefix", prefix=value)


@given(st.integers(), st.integers(), st.text(st.characters(), max_size=20))
def test_whatever_is_accepted_is_within_bounds(
    max_tokens: int, deadline_ms: int, prefix: str
) -> None:
    request = CompletionRequest(
        document="", prefix=prefix, max_tokens=max_tokens, deadline_ms=deadline_ms
    )
    try:
        request = checked(request)
    except InvalidRequestError:
        is_text = not any("\ud800" <= character <= "\udfff" for character in prefix)
        assert not (1 <= max_tokens <= 512 and 1 <= deadline_ms <= 600_000 and is_text)
        return
    assert 1 <= request.max_tokens <= 512
    assert 1 <= request.deadline_ms <= 600_000
    assert request.prefix.encode("utf-8").decode("utf-8") == prefix


@pytest.mark.parametrize("reason", FinishReason)
def test_nothing_is_an_answer_without_text(reason: FinishReason) -> None:
    completion = Completion.nothing(reason)
    assert (completion.text, completion.finish_reason) == ("", reason)
    assert completion.tokens.generated == 0
