"""Write one completion token after token, and stop where there is a reason to.

Lives in the engine thread, like all that touches a session.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

import numpy as np
from msgspec.structs import replace

from inference.cancellation import CancelToken
from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    TokenCounts,
    Unit,
)
from inference.decoding.branching import Branch, Branches
from inference.decoding.drafting import Guesses
from inference.decoding.generate import generate
from inference.decoding.healing import Healing
from inference.decoding.loaded import LoadedModel
from inference.decoding.loops import num_without_loop, repetition
from inference.decoding.postprocess import Surroundings
from inference.decoding.probabilities import log_probability
from inference.decoding.session import Session
from inference.decoding.stopping import stop_rule
from inference.languages import language_for
from inference.recall.evidence import with_evidence
from inference.recall.index import MAX_MATCHED, Recall
from inference.runtime.language_model import Logits
from inference.timing import Timings, now_ms

NUM_JUDGED: Final = 16
"""Tokens whose probabilities are told; each costs a pass over the vocabulary."""


class Writer:
    """The text of one completion as it grows; valid at every moment, so it may be cut short.

    What `recall` finds behind `before`, the text's tokens up to here, and what is written is
    evidence for what comes. With a `branch` it leaves there what the model would have written;
    `branches` are the ways that were not taken.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        request: CompletionRequest,
        unit: Unit,
        healing: Healing,
        timings: Timings,
        guesses: Guesses | None = None,
    ) -> None:
        self.around = Surroundings.of(request.prefix, request.suffix)
        self.text = ""
        self.timings = timings
        self.token_ids: list[int] = []
        self.before: Sequence[int] = ()
        self.recall: Recall = _nothing
        self.branch: Branch | None = None
        self.branches = Branches(0)
        self.log_probabilities: list[float] = []
        self.num_documents = 1
        self.on_growth: Callable[[], None] = lambda: None
        self._end_token_ids = loaded.end_token_ids
        self._decode = loaded.tokenizer.stream()
        self._healing = healing
        self._num_chosen = 0
        self._num_held_back = len(healing.wanted.decode())  # characters that the prefix has
        self._max_tokens = request.max_tokens + bool(healing.wanted)
        self._stop = stop_rule(unit, language_for(request.language), self.around.before)
        self._stop_reason = FinishReason(unit)
        self._guesses = guesses

    def so_far(self, tokens: TokenCounts) -> Completion:
        """Return what is written, as it is; `tokens` are those that were read for it."""
        return Completion(
            text=self.text,
            finish_reason=FinishReason.LINE,
            tokens=replace(tokens, generated=len(self.token_ids)),
            timings=replace(self.timings),
            log_probabilities=tuple(self.log_probabilities),
            num_documents=self.num_documents,
        )

    def write(
        self, session: Session, logits: Logits, cancel: CancelToken, started: float
    ) -> FinishReason:
        """Write until there is a reason to stop; `started` is when the work on it began."""
        begun, logits = self._healing.begin(session, logits, cancel)
        ends, guesses = self._end_token_ids, self._guesses
        following = generate(session, logits, self._choose, ends, cancel, guesses)
        for token_id in chain(begun, following):
            self.token_ids.append(token_id)
            self._add(self._decode(token_id))
            if self.text and not self.timings.first_token_ms:
                self.timings.first_token_ms = now_ms() - started
            num_kept = self._stop(self.text)
            if num_kept is not None:
                self.text = self.text[:num_kept]
                return self._stop_reason
            num_kept = self._num_before_loop()
            if num_kept is not None:
                self.text = self.text[:num_kept]
                return FinishReason.REPETITION
            if len(self.token_ids) == self._max_tokens:
                return FinishReason.LENGTH
            self.on_growth()
        is_full = session.cache_length == session.capacity
        return FinishReason.LENGTH if is_full else FinishReason.END_TOKEN

    def _choose(self, logits: Logits) -> int:
        choosable = self._healing.choosable
        recalled = self.recall((*self.before, *self.token_ids)[-MAX_MATCHED:])
        if recalled is not None:
            logits = with_evidence(logits, recalled)
        offered = logits
        if self.branch is not None and self.branch.num_before == self._num_chosen:
            offered = np.where(np.arange(len(logits)) == self.branch.token_id, logits, -np.inf)
        token_id = self._healing.choose(offered)
        self._num_chosen += 1
        self.branches.note(logits, choosable, token_id)
        if len(self.log_probabilities) < NUM_JUDGED:
            # What was held back is no choice of the model's: its token is judged among those alone.
            all_choosable = logits if choosable is None else logits[choosable]
            self.log_probabilities.append(log_probability(all_choosable, logits[token_id]))
        return token_id

    def _add(self, text: str) -> None:
        self.text += text[self._num_held_back :]
        self._num_held_back = max(0, self._num_held_back - len(text))

    def _num_before_loop(self) -> int | None:
        """Return how much to keep of a text that says again what was said, see loops.py."""
        num_kept = repetition(self.text)
        if num_kept is None and self.text.endswith("\n"):
            first, *others = self.text[:-1].split("\n")
            lines = [self.around.cursor_line + first, *others]
            num_lines = num_without_loop(self.around.above, lines)
            if num_lines < len(lines):
                return len("\n".join([first, *others][:num_lines]))
        return num_kept


def _nothing(_history: tuple[int, ...]) -> None:
    return None
