"""A look into a completion of the model that ships agrees with what it saw when it wrote it."""

import math

import msgspec
import numpy as np
import pytest

from inference import CompletionRequest, InvalidRequestError
from inference.cancellation import CancelToken
from inference.decoding.completer import Completer
from inference.decoding.dissecting import MAX_PROMPT_TOKENS, MAX_TOKENS, Subject, _experts
from inference.package.store import embedded_folder
from inference.serving.local import load_package
from inference.timing import now_ms

REQUEST = CompletionRequest(
    document="a.py",
    language="python",
    prefix="def add(first, second):\n    return ",
    suffix="\n\n\nprint(add(1, 2))\n",
)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(embedded_folder())


@pytest.fixture(scope="module")
def completer() -> Completer:
    return Completer(load_package(embedded_folder()))


@pytest.mark.parametrize(
    ("prefix", "num_compared"),
    [
        ("class Point:\n    def __init__(self, x, y):\n        self.", 2),
        ("def total(values):\n    result = 0\n    for value in values:\n        result +=", 1),
        ("try:\n    import json\nexcept Imp", 5),
    ],
)
def test_it_is_as_sure_as_it_was(
    completer: Completer, subject: Subject, prefix: str, num_compared: int
) -> None:
    request = msgspec.structs.replace(REQUEST, prefix=prefix)
    written = completer.complete(
        request, CancelToken(), received_ms=now_ms(), publish=lambda _: None
    )
    # What spells the token at the cursor is chosen among few, so the first one's is another figure.
    seen = subject.dissect(request, written.text).tokens[1:]
    expected = written.log_probabilities[1 : 1 + len(seen)]
    assert len(seen) == num_compared
    assert [token.log_probability for token in seen] == pytest.approx(list(expected), abs=0.15)
    assert all(token.rank == 1 for token in seen)
    assert all(token.candidates[0].text == token.text for token in seen)


def test_what_stood_there_is_told_from_what_was_written(subject: Subject) -> None:
    seen = subject.dissect(REQUEST, "first + second").tokens
    assert "".join(token.text[token.num_healed :] for token in seen) == "first + second"
    assert [token.num_healed for token in seen] == [1, 0, 0]


def test_each_layer_says_which_experts_read_a_token(subject: Subject) -> None:
    found = subject.dissect(REQUEST, "first + second")
    assert found.num_experts == 12
    for token in found.tokens:
        assert len(token.experts) == 12
        for layer in token.experts:
            assert len({expert.expert for expert in layer}) == 2
            assert sum(expert.share for expert in layer) == pytest.approx(1)
            assert layer[0].share >= layer[1].share


def test_a_long_document_is_read_near_the_cursor(subject: Subject) -> None:
    request = msgspec.structs.replace(REQUEST, prefix="x = 1\n" * 5_000)
    found = subject.dissect(request, "y = 2\n" * 1_000)
    assert found.num_prompt <= MAX_PROMPT_TOKENS
    assert len(found.tokens) == MAX_TOKENS


def test_there_is_nothing_to_see_in_nothing(subject: Subject) -> None:
    with pytest.raises(InvalidRequestError):
        subject.dissect(msgspec.structs.replace(REQUEST, prefix="x\n", suffix=""), "")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 3.0, -1.0], {2: 1 / (1 + math.exp(-2)), 1: 1 / (1 + math.exp(2))}),
        ([0.0, 0.9, 0.0, 0.3], {1: 0.75, 3: 0.25}),  # weights, where the others are zero
    ],
)
def test_shares_are_of_logits_or_of_weights(values: list[float], expected: dict[int, float]):
    found = {one.expert: one.share for one in _experts(np.array(values, np.float32), 2)}
    assert found == pytest.approx(expected)
