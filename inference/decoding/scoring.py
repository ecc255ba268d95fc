"""Say how likely a model holds given tokens to be: it reads them instead of writing its own.

Tokens only: it knows no text, and nothing of what the model would have written itself.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from inference.cancellation import CancelToken
from inference.decoding.probabilities import log_probabilities
from inference.decoding.session import Session
from inference.runtime.language_model import Logits

SCORED_CHUNK: Final = 16
"""Tokens per forward: a row of logits for each is kept, and a row of a large vocabulary has
600 KB."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """`bits` is the negative binary logarithm of the probability of all tokens together.

    Without the end token: how sure the model is that nothing follows is not counted.
    """

    bits: float
    num_tokens: int
    num_bytes: int
    is_first_likeliest: bool


def score_tokens(
    session: Session, prompt: Sequence[int], token_ids: Sequence[int], cancel: CancelToken
) -> tuple[float, bool]:
    """Return the bits of `token_ids` behind `prompt`, and whether the first is the likeliest.

    Both hold one token at least and fit the cache together. Raises RequestCancelledError.
    """
    logits, _ = session.prefill(prompt, cancel)
    is_first_likeliest = int(np.argmax(logits[-1])) == token_ids[0]
    bits = surprise(logits[-1:], token_ids[:1])
    for start in range(0, len(token_ids) - 1, SCORED_CHUNK):
        expected = token_ids[start + 1 : start + 1 + SCORED_CHUNK]
        read = token_ids[start : start + len(expected)]
        logits = session.append(read, cancel, num_logits=len(read))
        bits += surprise(logits, expected)
    return bits, is_first_likeliest


def surprise(logits: Logits, token_ids: Sequence[int]) -> float:
    """Return the bits of `token_ids`, one for each row of `logits`, under their softmax."""
    chosen = log_probabilities(logits)[np.arange(len(token_ids)), list(token_ids)]
    return float(-chosen.sum() / np.log(2))
