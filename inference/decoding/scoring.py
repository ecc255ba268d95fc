"""Say how likely a model holds given tokens to be: it reads them instead of writing its own.

Tokens only: it knows no text, and nothing of what the model would have written itself.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.cancellation import CancelToken
from inference.decoding.probabilities import log_probabilities
from inference.decoding.session import Session
from inference.runtime.language_model import Logits

Bits = npt.NDArray[np.float64]

SCORED_CHUNK: Final = 16
"""Tokens per forward: a row of logits for each is kept, and a row of a large vocabulary has
600 KB."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """`token_bits` is the negative binary logarithm of each token's probability.

    `likeliest_bits` is that of the token the model held likeliest in its place. Without the end
    token: how sure the model is that nothing follows is not counted.
    """

    token_bits: tuple[float, ...]
    likeliest_bits: tuple[float, ...]
    num_bytes: int

    @property
    def bits(self) -> float:
        """Those of all tokens together."""
        return sum(self.token_bits)

    @property
    def num_tokens(self) -> int:
        return len(self.token_bits)

    @property
    def is_first_likeliest(self) -> bool:
        return self.token_bits[0] <= self.likeliest_bits[0]


def score_tokens(
    session: Session, prompt: Sequence[int], token_ids: Sequence[int], cancel: CancelToken
) -> tuple[Bits, Bits]:
    """Return the bits of each of `token_ids` behind `prompt`, and those of the likeliest there.

    Both hold one token at least and fit the cache together. Raises RequestCancelledError.
    """
    logits, _ = session.prefill(prompt, cancel)
    found = [surprise(logits[-1:], token_ids[:1])]
    for start in range(0, len(token_ids) - 1, SCORED_CHUNK):
        expected = token_ids[start + 1 : start + 1 + SCORED_CHUNK]
        read = token_ids[start : start + len(expected)]
        found.append(surprise(session.append(read, cancel, num_logits=len(read)), expected))
    chosen, likeliest = zip(*found, strict=True)
    return np.concatenate(chosen), np.concatenate(likeliest)


def surprise(logits: Logits, token_ids: Sequence[int]) -> tuple[Bits, Bits]:
    """Return the bits of `token_ids`, one for each row of `logits`, and the fewest of each row."""
    bits = -log_probabilities(logits) / np.log(2)
    return bits[np.arange(len(token_ids)), list(token_ids)], bits.min(axis=1)
