"""Answer one request after another with one model: prompt, prefill, generate, stop.

Lives in the engine thread. It knows nothing of queues, processes or event loops; whoever calls it
says when to stop.
"""

from collections.abc import Callable
from itertools import chain
from typing import Final

import msgspec
import numpy as np

from inference.cancellation import CancelToken
from inference.completion import Completion, CompletionRequest, FinishReason, TokenCounts
from inference.decoding.budget import Budget, budget_for
from inference.decoding.generate import generate
from inference.decoding.healing import Healing, Vocabulary
from inference.decoding.prompt import Hole, Prompt, open_prompt, whole_prompt
from inference.decoding.scoring import SCORED_CHUNK, Score, score_tokens
from inference.decoding.session import Session, SessionPool
from inference.decoding.stopping import fills_line, repetition, stop_rule
from inference.errors import InvalidRequestError, RequestCancelledError
from inference.fim import FimTemplate
from inference.languages import language_for
from inference.runtime.language_model import LanguageModel, Logits
from inference.runtime.tokenizer import Tokenizer
from inference.timing import Timings, now_ms, stopwatch

MAX_SESSIONS: Final = 4
"""Contexts kept warm: a person moves between a few files."""

MAX_CACHE_BYTES: Final = 1 << 30
"""For the caches of all sessions, and the logits of the most tokens that are asked for at once."""


class LoadedModel(msgspec.Struct, frozen=True):
    """All that answering needs of a package."""

    name: str
    model: LanguageModel
    tokenizer: Tokenizer
    fim: FimTemplate | None
    end_token_ids: frozenset[int]
    """A completion ends at each of these: end of text, and every control token."""
    leading_token_ids: tuple[int, ...] = ()
    """Every prompt begins with these."""


class Completer:
    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._vocabulary = Vocabulary(loaded.tokenizer.pieces)
        self._pool = SessionPool(loaded.model, max_sessions=max_sessions(loaded.model))

    def complete(
        self, request: CompletionRequest, cancel: CancelToken, is_expired: Callable[[], bool]
    ) -> Completion:
        """Return what the model writes into the hole; at the deadline, what it has written by then.

        Raises RequestCancelledError when cancelled, or when the deadline comes before any text.
        """
        timings, started = Timings(), now_ms()
        budget = self._budget(request)
        with stopwatch(timings, "prompt_ms"):
            prompt = self._open_prompt(request, max_tokens=budget.max_prompt)
        if not prompt.token_ids:
            return Completion.nothing(FinishReason.EMPTY)
        session = self._pool.session_for(prompt.token_ids)
        with stopwatch(timings, "prefill_ms"):
            logits, num_reused = session.prefill(prompt.token_ids, cancel)
        request = msgspec.structs.replace(request, max_tokens=budget.max_new)
        writer = _Writer(self._loaded, request, self._healing(request, prompt), timings, started)
        with stopwatch(timings, "decode_ms"):
            try:
                reason = writer.write(session, logits, cancel)
            except RequestCancelledError:
                if not is_expired():
                    raise
                reason = FinishReason.DEADLINE
        timings.total_ms = now_ms() - started
        text = writer.text.rstrip()
        return Completion(
            text=text,
            finish_reason=reason if text else FinishReason.EMPTY,
            tokens=TokenCounts(
                prompt=len(prompt.token_ids), reused=num_reused, generated=writer.num_generated
            ),
            timings=timings,
        )

    def score(self, request: CompletionRequest, middle: str, cancel: CancelToken) -> Score:
        """Return how likely the model holds `middle` to be in the hole, see scoring.py.

        Raises InvalidRequestError where there is nothing to read before `middle`, nothing in it or
        too much of it; RequestCancelledError.
        """
        token_ids = self._loaded.tokenizer.encode(middle)
        budget, context_length = self._budget(request), self._loaded.model.context_length
        # The prompt of filling, unless what is scored is longer than what would be written.
        room = context_length - len(self._loaded.leading_token_ids) - len(token_ids)
        prompt = self._whole_prompt(request, max_tokens=max(1, min(budget.max_prompt, room)))
        if not prompt or not token_ids or len(prompt) + len(token_ids) > context_length:
            raise InvalidRequestError(
                f"{len(token_ids)} tokens behind a prompt of {len(prompt)} cannot be scored; both "
                f"need one, and the context holds {context_length}"
            )
        session = self._pool.session_for(prompt)
        bits, is_first_likeliest = score_tokens(session, prompt, token_ids, cancel)
        return Score(
            bits=bits,
            num_tokens=len(token_ids),
            num_bytes=len(middle.encode()),
            is_first_likeliest=is_first_likeliest,
        )

    def _whole_prompt(self, request: CompletionRequest, *, max_tokens: int) -> list[int]:
        encode = self._loaded.tokenizer.encode
        prompt = whole_prompt(_hole(request), self._loaded.fim, encode, max_tokens=max_tokens)
        return [*self._loaded.leading_token_ids, *prompt]

    def _open_prompt(self, request: CompletionRequest, *, max_tokens: int) -> Prompt:
        prompt = open_prompt(
            _hole(request),
            self._loaded.fim,
            self._loaded.tokenizer.encode,
            max_tokens=max_tokens,
            can_heal=self._vocabulary.can_heal,
        )
        token_ids = [*self._loaded.leading_token_ids, *prompt.token_ids]
        return Prompt(token_ids, prompt.held_back)

    def _healing(self, request: CompletionRequest, prompt: Prompt) -> Healing:
        held_back = prompt.held_back
        wanted = b"" if held_back is None else self._vocabulary.piece(held_back)
        is_empty = fills_line(request.scope, request.prefix, request.suffix)
        return Healing(self._vocabulary, wanted, fills_line=is_empty)

    def _budget(self, request: CompletionRequest) -> Budget:
        num_leading = len(self._loaded.leading_token_ids)
        return budget_for(self._loaded.model.context_length - num_leading, request.max_tokens)


def max_sessions(model: LanguageModel) -> int:
    """Return how many sessions fit into MAX_CACHE_BYTES; one in any case."""
    num_logit_bytes = SCORED_CHUNK * model.vocab_size * np.float32().nbytes
    num_affordable = (MAX_CACHE_BYTES - num_logit_bytes) // max(1, model.num_cache_bytes)
    return max(1, min(MAX_SESSIONS, num_affordable))


def _hole(request: CompletionRequest) -> Hole:
    return Hole(prefix=request.prefix, suffix=request.suffix, num_skipped=request.num_skipped)


class _Writer:
    """The text of one completion as it grows; valid at every moment, so it may be cut short."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: CompletionRequest,
        healing: Healing,
        timings: Timings,
        started: float,
    ) -> None:
        self.text = ""
        self.num_generated = 0
        self._end_token_ids = loaded.end_token_ids
        self._decode = loaded.tokenizer.stream()
        self._healing = healing
        self._num_held_back = len(healing.wanted.decode())  # characters that the prefix has
        self._max_tokens = request.max_tokens + bool(healing.wanted)
        self._stop, self._stop_reason = stop_rule(
            request.scope, language_for(request.language), request.prefix, request.suffix
        )
        self._timings = timings
        self._started = started

    def write(self, session: Session, logits: Logits, cancel: CancelToken) -> FinishReason:
        begun, logits = self._healing.begin(session, logits, cancel)
        following = generate(session, logits, self._healing.choose, self._end_token_ids, cancel)
        for token_id in chain(begun, following):
            self.num_generated += 1
            self._add(self._decode(token_id))
            if self.text and not self._timings.first_token_ms:
                self._timings.first_token_ms = now_ms() - self._started
            num_kept = self._stop(self.text)
            if num_kept is not None:
                self.text = self.text[:num_kept]
                return self._stop_reason
            num_kept = repetition(self.text)
            if num_kept is not None:
                self.text = self.text[:num_kept]
                return FinishReason.REPETITION
            if self.num_generated == self._max_tokens:
                return FinishReason.LENGTH
        is_full = session.cache_length == session.capacity
        return FinishReason.LENGTH if is_full else FinishReason.END_TOKEN

    def _add(self, text: str) -> None:
        self.text += text[self._num_held_back :]
        self._num_held_back = max(0, self._num_held_back - len(text))
