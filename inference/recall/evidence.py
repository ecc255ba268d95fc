"""Mix what a model holds likely with what the user's own texts say in the same place.

    p(token) = (1 - w) p_model(token) + w p_texts(token)

p_texts is how often each token follows where the texts share most with what was written, as in
nearest-neighbour language models (Khandelwal et al. 2020, arXiv:1911.00172), with tokens compared
instead of states. w is a logistic function of how much is shared, of how far the places agree, of
how many they are, and of how sure the model is; fitted on packages that no model of ours was
trained on (benchmarks/evidence.py). Pure.
"""

import math
from typing import Final

import msgspec
import numpy as np

from inference.recall.index import Recalled
from inference.runtime.language_model import Logits


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What each thing that is known of a place adds to the log odds of the texts' being right.

    `matched` is for the logarithm of the tokens that are shared, `agreement` for the share of
    places with the commonest token, `places` for the logarithm of their number, `confidence` for
    the probability of the model's likeliest token.
    """

    bias: float
    matched: float
    agreement: float
    places: float
    confidence: float


WEIGHTS: Final = Weights(bias=-5.9, matched=2.09, agreement=3.62, places=0.63, confidence=-2.95)


def with_evidence(logits: Logits, recalled: Recalled, weights: Weights = WEIGHTS) -> Logits:
    """Return one row of logits, [vocab_size], with what the texts say in it.

    Differences between logits are what counts, so the row of a mixture is the model's own but for
    the tokens that the texts name.
    """
    highest = float(logits.max())
    total = highest + math.log(float(np.exp(logits - highest).sum()))
    tokens, counts = np.unique(recalled.following, return_counts=True)
    share = counts / len(recalled.following)
    found = weight(recalled, float(share.max()), math.exp(highest - total), weights)
    odds = found / (1 - found)
    mixed = logits.copy()
    mixed[tokens] = total + np.log(np.exp(logits[tokens] - total) + odds * share)
    return mixed


def weight(
    recalled: Recalled, agreement: float, confidence: float, weights: Weights = WEIGHTS
) -> float:
    """Return what the texts' word counts, between 0 and 1."""
    log_odds = (
        weights.bias
        + weights.matched * math.log(recalled.num_matched)
        + weights.agreement * agreement
        + weights.places * math.log(len(recalled.following))
        + weights.confidence * confidence
    )
    return 1 / (1 + math.exp(-log_odds))
