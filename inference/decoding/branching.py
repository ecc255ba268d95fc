"""Find where a text could have gone another way: among its first tokens, the likeliest others.

Pure. A beginning is as likely as all of its tokens together, so that what is proposed is what the
model held likeliest, wherever it leaves the text that was written.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.decoding.probabilities import log_probabilities
from inference.runtime.language_model import Logits

NUM_BRANCHED: Final = 8
"""Tokens at which a text may be left; what differs later differs too little to choose from."""


class Branch(msgspec.Struct, frozen=True):
    """Behind `num_before` tokens of a text, another one; `log_probability` is that of them all."""

    num_before: int
    token_id: int
    log_probability: float


class Branches:
    """The ways that were not taken, at most `num_each` behind every token."""

    def __init__(self, num_each: int) -> None:
        self._num_each = num_each
        self._num_seen = 0
        self._so_far = 0.0
        self._found: list[Branch] = []

    def note(self, logits: Logits, choosable: npt.NDArray[np.int64] | None, token_id: int) -> None:
        """Take the logits of one token, [vocab_size], and the one that was chosen of `choosable`.

        None for `choosable` is all of them.
        """
        if self._num_seen == NUM_BRANCHED or not self._num_each:
            return
        logs = log_probabilities(logits[None] if choosable is None else logits[None, choosable])[0]
        ids = np.arange(len(logits)) if choosable is None else choosable
        likeliest = np.argsort(-logs)[: self._num_each + 1]
        self._found += [
            Branch(self._num_seen, int(ids[index]), self._so_far + float(logs[index]))
            for index in likeliest
            if ids[index] != token_id and np.isfinite(logs[index])
        ]
        self._so_far += float(logs[ids == token_id][0])
        self._num_seen += 1

    def likeliest(self) -> Sequence[Branch]:
        return sorted(self._found, key=lambda branch: -branch.log_probability)
