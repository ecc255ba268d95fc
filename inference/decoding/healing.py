"""Let a completion begin in the middle of a token, as a cursor may stand in one.

A tokenizer cuts "        return" into "       " and " return". A prompt that ends in eight blanks
therefore ends in a token that no text of training continued with "return", and the model writes
" return": one blank too many. So the last token of the prefix is not shown to the model; instead
what it writes first is held to that token's bytes, and only what follows them is the completion.
The idea is known as token healing (microsoft/guidance).

A shorter token may be the likeliest and lead nowhere: behind a docstring most models write the
token of three quotes and one line end, and if two line ends are wanted nothing likely follows it,
since a text with two has them in one token. So a shorter token is taken only where it and what
follows are likelier together than the best token that spells all that is wanted. To know that, the
model reads it; most of the time no shorter token is likely enough to be looked at.

A line end that was held back may be spelled as two, since a token of two is often the likelier one.
Where a line is asked for and the cursor's is empty, that would be its end before its first
character. A cursor at the start of a line has its line end; so until something else is written
there, no token is chosen that ends the line, neither as more than what was held back nor by itself.

It knows bytes and token ids; it knows neither text nor prompts.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.cancellation import CancelToken
from inference.decoding.probabilities import log_probabilities
from inference.decoding.session import Session
from inference.runtime.language_model import Logits

LINE_ENDS: Final = (b"\n", b"\r")
BLANKS: Final = b" \t\f\v"

MAX_LOOKS: Final = 3
"""Steps of the model that finding a beginning may cost; the best one found by then is taken."""


class Vocabulary:
    """Which bytes each token stands for; tokens that stand for none are not in `pieces`."""

    def __init__(self, pieces: Mapping[int, bytes]) -> None:
        self._pieces = pieces
        self._ids_of: dict[bytes, list[int]] = {}
        for token_id, piece in pieces.items():  # several may spell the same: a letter and its byte
            self._ids_of.setdefault(piece, []).append(token_id)
        order = sorted(pieces, key=pieces.__getitem__)
        self._sorted_ids = np.array(order, np.int64)
        self._sorted_pieces = [pieces[token_id] for token_id in order]
        self._line_ends = self._find_line_ends(b"")

    def can_heal(self, token_id: int) -> bool:
        """Say whether a token stands for whole characters, so that a text may be cut before it."""
        try:
            return bool(self._pieces.get(token_id, b"").decode())
        except UnicodeDecodeError:
            return False

    def piece(self, token_id: int) -> bytes:
        return self._pieces.get(token_id, b"")

    def has_line_end(self, token_id: int) -> bool:
        return b"\n" in self.piece(token_id)

    def ends_line(self, vocab_size: int) -> npt.NDArray[np.bool_]:
        """Return which tokens have a line end, [vocab_size]."""
        flags = np.zeros(vocab_size, np.bool_)
        flags[[token_id for token_id in self._pieces if self.has_line_end(token_id)]] = True
        return flags

    def beginning_with(self, wanted: bytes) -> npt.NDArray[np.int64]:
        """Return the tokens that spell `wanted`, or more."""
        first = bisect_left(self._sorted_pieces, wanted)
        last = bisect_right(self._sorted_pieces, wanted, key=lambda piece: piece[: len(wanted)])
        return self._sorted_ids[first:last]

    def beginnings_of(self, wanted: bytes) -> Sequence[int]:
        """Return the tokens that spell a part of `wanted`, from its beginning on."""
        pieces = (wanted[:length] for length in range(1, len(wanted)))
        return [token_id for piece in pieces for token_id in self._ids_of.get(piece, ())]

    def line_ends(self, wanted: bytes) -> npt.NDArray[np.int64]:
        """Return the tokens that spell `wanted`, blanks or nothing, and a line end."""
        return self._find_line_ends(wanted) if wanted else self._line_ends

    def _find_line_ends(self, wanted: bytes) -> npt.NDArray[np.int64]:
        found = [
            token_id
            for byte in (*LINE_ENDS, *(bytes([blank]) for blank in BLANKS))
            for token_id in self.beginning_with(wanted + byte).tolist()
            if self._pieces[token_id][len(wanted) :].lstrip(BLANKS).startswith(LINE_ENDS)
        ]
        return np.array(found, np.int64)


class Healing:
    """Choose the likeliest token; the first ones spell `wanted`.

    `fills_line`: no line ends before something is written on it.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        wanted: bytes,
        *,
        fills_line: bool = False,
        max_looks: int = MAX_LOOKS,
    ) -> None:
        self._vocabulary = vocabulary
        self._fills_line = fills_line
        self._max_looks = max_looks
        self.wanted = wanted

    def begin(
        self, session: Session, logits: Logits, cancel: CancelToken
    ) -> tuple[Sequence[int], Logits]:
        """Find the likeliest way to spell `wanted`, and read all of its tokens but the last.

        `logits` are those of the last token read, [1, vocab_size]. Returns the tokens that were
        read and the logits behind them. Raises RequestCancelledError.
        """
        if not self.wanted or self._is_one_token(logits[-1]):
            return (), logits
        prompt = tuple(session.token_ids)
        best = _Beginning(np.inf, (), self.wanted)
        rows = {best.token_ids: logits.copy()}
        frontier = [_Beginning(0.0, (), self.wanted)]
        while frontier and frontier[0].bits < best.bits and len(rows) <= self._max_looks:
            found = heapq.heappop(frontier)
            if found.token_ids not in rows:
                read, _ = session.prefill([*prompt, *found.token_ids], cancel)
                rows[found.token_ids] = read.copy()
            bits = -log_probabilities(rows[found.token_ids])[-1] / np.log(2)
            last = bits[self._allowed(found.rest)].min(initial=np.inf)
            best = min(best, _Beginning(found.bits + last, found.token_ids, found.rest))
            if len(prompt) + len(found.token_ids) < session.capacity:
                for token_id in self._vocabulary.beginnings_of(found.rest):
                    rest = found.rest[len(self._vocabulary.piece(token_id)) :]
                    token_ids = (*found.token_ids, token_id)
                    heapq.heappush(
                        frontier, _Beginning(found.bits + bits[token_id], token_ids, rest)
                    )
        session.hold([*prompt, *best.token_ids], cancel)
        self.wanted = best.rest
        return best.token_ids, rows[best.token_ids]

    @property
    def choosable(self) -> npt.NDArray[np.int64] | None:
        """The tokens that the next one must be among, None where it may be any."""
        return self._allowed(self.wanted) if self.wanted else None

    def choose(self, logits: Logits) -> int:
        """Return the next token for one row of logits, [vocab_size]."""
        allowed = self.choosable
        wanted, self.wanted = self.wanted, b""
        if allowed is not None:
            token_id = int(allowed[np.argmax(logits[allowed])])
        elif self._fills_line:
            logits = logits.copy()  # the model's own
            logits[self._vocabulary.line_ends(b"")] = -np.inf
            token_id = int(np.argmax(logits))
        else:
            return int(np.argmax(logits))
        written = self._vocabulary.piece(token_id)[len(wanted) :]
        self._fills_line = self._fills_line and not written.strip()
        return token_id

    def _allowed(self, wanted: bytes) -> npt.NDArray[np.int64]:
        """Return the tokens that may spell `wanted`, or more."""
        found = self._vocabulary.beginning_with(wanted)
        if not self._fills_line:
            return found
        return found[~np.isin(found, self._vocabulary.line_ends(wanted))]

    def _is_one_token(self, row: Logits) -> bool:
        """Say whether no shorter token alone is as likely as one that spells all."""
        whole = row[self._allowed(self.wanted)].max()
        parts = self._vocabulary.beginnings_of(self.wanted)
        return all(row[token_id] <= whole for token_id in parts)


class _Beginning(msgspec.Struct, frozen=True, order=True):
    """Tokens that spell the beginning of what is wanted, what is left, and how unlikely it is."""

    bits: float
    token_ids: tuple[int, ...]
    rest: bytes
