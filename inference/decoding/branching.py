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


class _Seen(msgspec.Struct, frozen=True):
    """Logits of one token, [vocab_size], what could be chosen of them, and what was."""

    logits: Logits
    choosable: npt.NDArray[np.int64] | None
    token_id: int


class Branches:
    """The ways that were not taken, at most `num_each` behind every token.

    Most texts are never left, so that probabilities are computed where somebody asks.
    """

    def __init__(self, num_each: int) -> None:
        self._num_each = num_each
        self._seen: list[_Seen] = []

    def note(self, logits: Logits, choosable: npt.NDArray[np.int64] | None, token_id: int) -> None:
        """Take the logits of one token, [vocab_size], and the one that was chosen of `choosable`.

        None for `choosable` is all of them.
        """
        if self._num_each and len(self._seen) < NUM_BRANCHED:
            self._seen.append(_Seen(logits.copy(), choosable, token_id))

    def likeliest(self) -> Sequence[Branch]:
        """Return the ways that were not taken, the likeliest beginning first."""
        found, so_far = list[Branch](), 0.0
        for num_before, seen in enumerate(self._seen):
            ids = np.arange(len(seen.logits)) if seen.choosable is None else seen.choosable
            logs = log_probabilities(seen.logits[None, ids])[0]
            num_looked_at = min(len(ids), self._num_each + 1)
            likeliest = np.argpartition(-logs, num_looked_at - 1)[:num_looked_at]
            found += [
                Branch(num_before, int(ids[index]), so_far + float(logs[index]))
                for index in likeliest
                if ids[index] != seen.token_id and np.isfinite(logs[index])
            ]
            so_far += float(logs[ids == seen.token_id][0])
        return sorted(found, key=lambda branch: -branch.log_probability)
