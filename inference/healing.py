"""Let a completion begin in the middle of a token, as a cursor may stand in one.

A tokenizer cuts "        return" into "       " and " return". A prompt that ends in eight blanks
therefore ends in a token that no text of training continued with "return", and the model writes
" return": one blank too many. So the last token of the prefix is not shown to the model; instead
what it writes first is held to that token's bytes, and only what follows them is the completion.
The idea is known as token healing (microsoft/guidance).

It knows bytes and token ids; it knows neither text nor prompts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from inference.model import Logits


class Vocabulary:
    """Which bytes each token stands for; tokens that stand for none are not in `pieces`."""

    def __init__(self, pieces: Mapping[int, bytes]) -> None:
        self._pieces = pieces
        self._ids_of = {piece: token_id for token_id, piece in pieces.items()}
        order = sorted(pieces, key=lambda token_id: pieces[token_id])
        self._sorted_ids = np.array(order, np.int64)
        self._sorted_pieces = [pieces[token_id] for token_id in order]

    def can_heal(self, token_id: int) -> bool:
        """Say whether a token stands for whole characters, so that a text may be cut before it."""
        try:
            return bool(self._pieces.get(token_id, b"").decode())
        except UnicodeDecodeError:
            return False

    def piece(self, token_id: int) -> bytes:
        return self._pieces[token_id]

    def continuing(self, wanted: bytes) -> npt.NDArray[np.int64]:
        """Return the tokens that begin with `wanted`, and those that `wanted` begins with."""
        first = bisect_left(self._sorted_pieces, wanted)
        last = bisect_right(self._sorted_pieces, wanted, key=lambda piece: piece[: len(wanted)])
        beginnings = (wanted[:length] for length in range(1, len(wanted)))
        shorter = [self._ids_of[piece] for piece in beginnings if piece in self._ids_of]
        return np.concatenate([self._sorted_ids[first:last], np.array(shorter, np.int64)])


class Healing:
    """Choose the likeliest token; while `wanted` is not written, among those that write it."""

    def __init__(self, vocabulary: Vocabulary, wanted: bytes) -> None:
        self._vocabulary = vocabulary
        self.wanted = wanted

    def choose(self, logits: Logits) -> int:
        """Return the next token for one row of logits, [vocab_size]."""
        if not self.wanted:
            return int(np.argmax(logits))
        allowed = self._vocabulary.continuing(self.wanted)
        token_id = int(allowed[np.argmax(logits[allowed])])
        self.wanted = self.wanted[len(self._vocabulary.piece(token_id)) :]
        return token_id
