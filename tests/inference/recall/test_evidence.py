"""What texts say moves a model's choice as far as the weights let it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.decoding.probabilities import log_probabilities
from inference.recall.evidence import Weights, weight, with_evidence
from inference.recall.index import Recalled

NONE = Weights(bias=0.0, matched=0.0, agreement=0.0, places=0.0, confidence=0.0)


def recalled(*following: int, num_matched: int = 4) -> Recalled:
    tokens = np.array(following, np.int32)
    return Recalled(num_matched, tokens, tokens[-1:])


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4),
    st.lists(st.integers(0, 3), min_size=1, max_size=9),
    st.floats(-5, 5),
)
def test_it_is_the_mixture(logits: list[float], following: list[int], bias: float) -> None:
    row = np.array(logits, np.float32)
    model = np.exp(log_probabilities(row[None])[0])
    texts = np.bincount(following, minlength=4) / len(following)
    share = 1 / (1 + np.exp(-bias))
    weights = Weights(bias=bias, matched=0.0, agreement=0.0, places=0.0, confidence=0.0)
    found = with_evidence(row, recalled(*following), weights)
    expected = (1 - share) * model + share * texts
    np.testing.assert_allclose(
        np.exp(log_probabilities(found[None])[0]), expected, rtol=0, atol=1e-5
    )


def test_the_model_keeps_its_logits() -> None:
    row = np.zeros(4, np.float32)
    with_evidence(row, recalled(1))
    assert not row.any()


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ((recalled(1, num_matched=9), 1.0, 0.5), (recalled(1, num_matched=3), 1.0, 0.5)),
        ((recalled(1, 1), 1.0, 0.5), (recalled(1, 2), 0.5, 0.5)),
        ((recalled(1, 1), 1.0, 0.5), (recalled(1), 1.0, 0.5)),
        ((recalled(1), 1.0, 0.2), (recalled(1), 1.0, 0.9)),
    ],
    ids=["shares more", "agrees more", "more places", "less sure model"],
)
def test_what_speaks_for_the_texts(
    more: tuple[Recalled, float, float], less: tuple[Recalled, float, float]
) -> None:
    assert 0 < weight(*less) < weight(*more) < 1
    assert weight(*less, NONE) == weight(*more, NONE) == 0.5
