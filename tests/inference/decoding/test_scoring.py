"""How likely a model holds a text to be."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cancellation import CancelToken
from inference.completion import CompletionRequest
from inference.decoding.completer import Completer
from inference.decoding.scoring import SCORED_CHUNK, Score, score_tokens
from inference.decoding.session import Session
from inference.errors import InvalidRequestError, RequestCancelledError
from tests.support.answers import answered
from tests.support.byte_tokenizer import VOCAB_SIZE
from tests.support.scripted_model import ScriptedModel, loaded, noise, playing

# A scripted model's logits are 1 for the token it would write and 0 for each other.
TOTAL = math.e + VOCAB_SIZE - 1
EXPECTED_BITS = math.log2(TOTAL / math.e)
OTHER_BITS = math.log2(TOTAL)


def score(model: ScriptedModel, middle: str, *, prefix: str = "a", max_tokens: int = 64) -> Score:
    request = CompletionRequest(document="a", prefix=prefix, max_tokens=max_tokens)
    return Completer(loaded(model)).score(request, middle, CancelToken())


def check(middle: str, *, model: str, expected: int, other: int) -> None:
    """The model would write `model`; it expects so many tokens of `middle`, and so many not."""
    found = score(ScriptedModel(playing(model)), middle)
    assert found.bits == pytest.approx(expected * EXPECTED_BITS + other * OTHER_BITS)
    assert found.num_tokens == found.num_bytes == expected + other
    assert found.is_first_likeliest == middle.startswith(model[0])


def test_what_it_would_write_is_likely() -> None:
    check("xyz", model="xyz", expected=3, other=0)


def test_what_it_would_not_write_is_unlikely() -> None:
    check("qq", model="xyz", expected=0, other=2)


def test_after_a_wrong_token_it_reads_the_right_one() -> None:
    check("qx", model="xyz", expected=1, other=1)


def test_the_first_token_alone() -> None:
    check("x", model="xyz", expected=1, other=0)


@pytest.mark.parametrize("length", [SCORED_CHUNK, SCORED_CHUNK + 1, SCORED_CHUNK + 2])
def test_the_edges_of_a_forward(length: int) -> None:
    text = "".join(chr(ord("A") + number) for number in range(length))
    check(text, model=text, expected=length, other=0)


def test_bytes_are_counted_not_characters() -> None:
    assert score(ScriptedModel(playing("x")), "é🦑").num_bytes == 6


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50), st.integers(0, 99))
def test_reading_in_chunks_is_reading_one_by_one(token_ids: list[int], seed: int) -> None:
    prompt = [1, 2, 3]
    bits, likeliest = score_tokens(
        Session(ScriptedModel(noise(seed))), prompt, token_ids, CancelToken()
    )
    expected = [_next(seed, [*prompt, *token_ids[:index]]) for index in range(len(token_ids))]
    num_right = sum(a == b for a, b in zip(expected, token_ids, strict=True))
    num_wrong = len(token_ids) - num_right
    assert bits.sum() == pytest.approx(num_right * EXPECTED_BITS + num_wrong * OTHER_BITS)
    assert likeliest == pytest.approx([EXPECTED_BITS] * len(token_ids))


def _next(seed: int, token_ids: Sequence[int]) -> int:
    return noise(seed)(token_ids)


def test_scoring_changes_no_answer() -> None:
    completer = Completer(loaded(ScriptedModel(playing("yz"))))
    request = CompletionRequest(document="a", prefix="abc", suffix="d")
    before = answered(completer, request).text
    completer.score(request, "something else", CancelToken())
    assert answered(completer, request).text == before == "yz"


def test_the_prompt_makes_room_for_a_long_middle() -> None:
    model = ScriptedModel(playing("x"), context_length=64)
    found = score(model, "x" * 40, prefix="b" * 99, max_tokens=1)
    assert found.num_tokens == 40


@pytest.mark.parametrize("middle", ["", "x" * 100])
def test_a_middle_of_nothing_or_too_much_is_refused(middle: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be scored"):
        score(ScriptedModel(playing("x"), context_length=64), middle)


def test_without_a_template_an_empty_prefix_is_refused() -> None:
    completer = Completer(loaded(ScriptedModel(playing("b")), fim=None))
    with pytest.raises(InvalidRequestError, match="a prompt of 0"):
        completer.score(CompletionRequest(document="a", prefix=""), "b", CancelToken())


def test_it_can_be_cancelled() -> None:
    token = CancelToken()
    token.set()
    completer = Completer(loaded(ScriptedModel(playing("b"))))
    with pytest.raises(RequestCancelledError):
        completer.score(CompletionRequest(document="a", prefix="a"), "b", token)


def test_behind_a_filling_only_what_is_scored_is_read() -> None:
    """As `inkling eval` does it: a prompt of thousands of tokens is not read twice."""
    model = ScriptedModel(playing("xyz"))
    completer, cancel = Completer(loaded(model)), CancelToken()
    request = CompletionRequest(document="a", prefix="a" * 100, suffix="b" * 40)
    answered(completer, request, cancel)
    before = model.num_tokens_read
    completer.score(request, "xyq", cancel)
    assert before > 140
    assert model.num_tokens_read - before <= len("xyq") + 1
