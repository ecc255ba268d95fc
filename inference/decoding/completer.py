"""Answer one request after another with one model: prompt, prefill, generate, stop, clean.

Lives in the engine thread. It knows nothing of queues, processes or event loops; whoever calls it
says when to stop.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from inference.cancellation import CancelToken
from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
    TokenCounts,
    Unit,
)
from inference.decoding.beside import OtherFiles
from inference.decoding.branching import Branches
from inference.decoding.budget import Budget, budget_for
from inference.decoding.drafting import (
    MAX_MATCH,
    EarlierTexts,
    Guesses,
    OtherTexts,
    PromptLookup,
    Speculation,
    TokenIds,
)
from inference.decoding.generate import generate
from inference.decoding.healing import Healing, Vocabulary
from inference.decoding.layout import CLOSING, Hole
from inference.decoding.line_ends import with_line_feeds
from inference.decoding.loaded import LoadedModel
from inference.decoding.pace import measure_pace
from inference.decoding.postprocess import clean
from inference.decoding.reader import Reader, Reading
from inference.decoding.scoring import Score, score_tokens
from inference.decoding.soundness import Sound, sound
from inference.decoding.stopping import fills_line, unit_for
from inference.decoding.writer import Writer
from inference.errors import InvalidRequestError, RequestCancelledError
from inference.recall.index import Recall, Recalled
from inference.recall.memory import Memory
from inference.recall.snippets import Flags
from inference.runtime.language_model import Logits
from inference.runtime.processor import return_freed_memory
from inference.syntax import Place
from inference.syntax import place as place_in
from inference.timing import Timings, now_ms, stopwatch

NUM_EARLIER: Final = 8
"""Completions that are remembered to guess from: of a place, and of those that were left for it."""

NUM_RECALLED_CHARACTERS: Final = 200
"""Before the cursor: what other texts are asked for is no longer."""

NUM_RECALLED: Final = 8
"""Answers of the memory that are kept for the next one who asks the same."""

NUM_OTHER_WAYS: Final = 2
"""Beginnings that are tried where the likeliest only says what stands below the cursor again."""

NUM_FIRST_STEPS: Final = 8
"""Tokens that are written before there is a line to show."""

Publish = Callable[[Completion], None]
"""Is given a completion whose text is not yet cleaned, whenever it has grown."""


class _Job(msgspec.Struct, frozen=True):
    """What is to be written: so much, in this place, behind what was read."""

    request: CompletionRequest
    reading: Reading
    place: Place | None
    unit: Unit


class _Answer(msgspec.Struct, frozen=True):
    """What was written, and what of it is shown."""

    writer: Writer
    reason: FinishReason
    shown: Sound

    @property
    def only_repeats(self) -> bool:
        """Say whether a line was to be filled, and only what stands around it was said.

        What follows at a line's start is a line below, unless it only closes something.
        """
        around = self.writer.around
        only_closes = bool(around.rest) and not around.rest.strip(CLOSING)
        is_line = not around.cursor_line.strip() and not only_closes
        return is_line and bool(self.writer.text.strip()) and not self.shown.text


class Completer:
    """`speculation` is what is learned of guessing; without it nothing is guessed.

    `memory` are the user's other texts.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        speculation: Speculation | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._loaded = loaded
        self._memory = memory or Memory()
        self.speculation = speculation
        self._written: deque[TokenIds] = deque(maxlen=NUM_EARLIER)
        self._vocabulary = Vocabulary(loaded.tokenizer.pieces)
        others = OtherFiles(loaded, self._memory)
        self._reader = Reader(loaded, self._vocabulary.can_heal, others.beside)
        # A grammar reads the text while the model does, which costs no time of its own.
        self._parsing = ThreadPoolExecutor(1, "parsing")

    @property
    def ends_line(self) -> Flags:
        """Which tokens end a line, [vocab_size]."""
        return self._vocabulary.ends_line(self._loaded.model.vocab_size)

    def warm_up(self) -> None:
        """Have the model's first runs done, and know how fast it is."""
        measure_pace(self._loaded.model, self._reader.pace)

    def rest(self) -> None:
        """Give up the memory of weights and sessions; whoever asks next waits until they are there.

        What was learned is kept: how fast the model is, how often guesses are right, and texts.
        """
        self._reader.forget()
        self._loaded.model.rest()
        if self._loaded.predictor is not None:
            self._loaded.predictor.rest()
        return_freed_memory()

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        received_ms: float,
        publish: Publish,
    ) -> Completion:
        """Return what the model writes into the hole; at the deadline, what it has written by then.

        Raises RequestCancelledError when cancelled, or when the deadline comes before any text.
        """
        timings, started = Timings(), now_ms()
        budget = self._budget(request)
        with stopwatch(timings, "prompt_ms"):
            time_ms = self._reading_ms(request, started - received_ms)
            reading = self._reader.open(request.document, Hole.of(request), budget, time_ms=time_ms)
        if not reading.prompt.token_ids:
            return Completion.nothing(FinishReason.EMPTY)
        parsing = self._parsing.submit(place_in, request.prefix, request.suffix, request.language)
        with stopwatch(timings, "prefill_ms"):
            logits, num_reused = self._reader.read(reading, cancel)
        beginning = logits.copy()
        request = replace(request, max_tokens=budget.max_new)
        tokens = TokenCounts(prompt=len(reading.prompt.token_ids), reused=num_reused)
        job = _job(request, reading, parsing.result())
        num_ways = max(NUM_OTHER_WAYS, request.num_candidates - 1)
        writer = self._writer(job, timings)
        writer.branches = Branches(num_ways)
        writer.on_growth = lambda: publish(writer.so_far(tokens))
        with stopwatch(timings, "decode_ms"):
            try:
                reason = writer.write(reading.session, logits, cancel, started)
            except RequestCancelledError:
                if now_ms() < received_ms + request.deadline_ms:
                    raise
                reason = FinishReason.DEADLINE
        self._remember(reading.prompt.token_ids, writer.token_ids)
        answer = _Answer(writer, reason, _shown(writer, reason, job))
        with stopwatch(timings, "decode_ms"):
            due_ms = received_ms + request.deadline_ms
            ways = self._other_ways(job, writer, beginning, cancel, due_ms)
            if answer.only_repeats:
                tried = islice(ways, NUM_OTHER_WAYS)
                answer = next((other for other in tried if other.shown.text), answer)
            others = _different(ways, answer.shown.text, request.num_candidates - 1)
        shown, timings.total_ms = answer.shown, now_ms() - started
        return replace(
            answer.writer.so_far(tokens),
            text=shown.text,
            finish_reason=answer.reason if shown.text else FinishReason.EMPTY,
            timings=timings,
            alternatives=others,
            syntax=shown.syntax,
        )

    def follow(self, request: InstructionRequest, cancel: CancelToken) -> Completion:
        """Return what the model answers to an instruction; no text if it follows none.

        Raises InvalidRequestError where it is longer than the context; RequestCancelledError.
        """
        loaded, timings, started = self._loaded, Timings(), now_ms()
        if loaded.chat is None:
            return Completion.nothing(FinishReason.EMPTY)
        said = loaded.chat.arrange(request.messages, loaded.tokenizer.encode)
        prompt = [*loaded.leading_token_ids, *said]
        if len(prompt) + request.max_tokens > loaded.model.context_length:
            raise InvalidRequestError(
                f"an instruction of {len(prompt)} tokens and an answer of {request.max_tokens} are "
                f"more than the context of {loaded.model.context_length}"
            )
        reading = self._reader.open_tokens(f"instructions {request.document}", prompt)
        with stopwatch(timings, "prefill_ms"):
            logits, num_reused = self._reader.read(reading, cancel)
        with stopwatch(timings, "decode_ms"):
            choose = Healing(self._vocabulary, b"").choose
            ends = loaded.end_token_ids
            guesses = self._guesses(self._recall(request.document), is_line=False)
            following = generate(reading.session, logits, choose, ends, cancel, guesses)
            written = list(islice(following, request.max_tokens))
        is_cut = len(written) == request.max_tokens
        timings.total_ms = now_ms() - started
        return Completion(
            text=loaded.tokenizer.decode(written),
            finish_reason=FinishReason.LENGTH if is_cut else FinishReason.END_TOKEN,
            tokens=TokenCounts(prompt=len(prompt), reused=num_reused, generated=len(written)),
            timings=timings,
        )

    def read_ahead(self, request: CompletionRequest, cancel: CancelToken) -> None:
        """Read what a request for this hole would read if it had the time.

        Raises RequestCancelledError; what was read by then is kept.
        """
        self._reader.read_ahead(request.document, Hole.of(request), self._budget(request), cancel)

    def score(self, request: CompletionRequest, middle: str, cancel: CancelToken) -> Score:
        """Return how likely the model holds `middle` to be in the hole, see scoring.py.

        Raises InvalidRequestError where there is nothing to read before `middle`, nothing in it or
        too much of it; RequestCancelledError.
        """
        token_ids = self._loaded.tokenizer.encode(with_line_feeds(middle))
        budget, context_length = self._budget(request), self._loaded.model.context_length
        # The prompt of filling, unless what is scored is longer than what would be written.
        room = context_length - len(self._loaded.leading_token_ids) - len(token_ids)
        max_tokens = max(1, min(budget.max_prompt, room))
        reading = self._reader.open_whole(request.document, Hole.of(request), max_tokens=max_tokens)
        prompt = reading.prompt.token_ids
        if not prompt or not token_ids or len(prompt) + len(token_ids) > context_length:
            raise InvalidRequestError(
                f"{len(token_ids)} tokens behind a prompt of {len(prompt)} cannot be scored; both "
                f"need one, and the context holds {context_length}"
            )
        bits, fewest = score_tokens(reading.session, prompt, token_ids, cancel)
        return Score(
            token_bits=tuple(bits.tolist()),
            likeliest_bits=tuple(fewest.tolist()),
            num_bytes=len(middle.encode()),
        )

    def _other_ways(
        self, job: _Job, first: Writer, beginning: Logits, cancel: CancelToken, due_ms: float
    ) -> Iterator[_Answer]:
        """Write other texts, one after another, the likelier beginning first.

        `beginning` are the logits behind the prompt. At the deadline those that are there count.
        Raises RequestCancelledError when cancelled.
        """
        session = job.reading.session
        for branch in first.branches.likeliest():
            writer = self._writer(job, Timings())
            writer.branch = branch
            try:
                session.hold(job.reading.prompt.token_ids, cancel)
                reason = writer.write(session, beginning.copy(), cancel, now_ms())
            except RequestCancelledError:
                if now_ms() < due_ms:
                    raise
                return
            yield _Answer(writer, reason, _shown(writer, reason, job))

    def _guesses(self, recall: Recall, *, is_line: bool) -> Guesses | None:
        """Return what guesses for one completion; behind the end of a line that is all, nothing."""
        if self.speculation is None:
            return None
        drafters = (PromptLookup(), EarlierTexts(tuple(self._written)), OtherTexts(recall))
        vocabulary, ends = self._vocabulary, self._loaded.end_token_ids
        is_last = vocabulary.has_line_end if is_line else _never
        return Guesses(self.speculation, drafters, ends, is_last, self._loaded.predictor)

    def _remember(self, prompt: Sequence[int], written: Sequence[int]) -> None:
        if written:
            self._written.append(np.array([*prompt[-MAX_MATCH:], *written], np.int64))

    def _reading_ms(self, request: CompletionRequest, waited_ms: float) -> float | None:
        if request.first_text_ms is None:
            return None
        writing_ms = NUM_FIRST_STEPS * self._reader.pace.step_ms
        return request.first_text_ms - waited_ms - writing_ms

    def _writer(self, job: _Job, timings: Timings) -> Writer:
        held_back = job.reading.prompt.held_back
        wanted = b"" if held_back is None else self._vocabulary.piece(held_back)
        is_empty = fills_line(job.unit, job.request.prefix)
        healing = Healing(self._vocabulary, wanted, fills_line=is_empty)
        recall = self._recall(job.request.document)
        guesses = self._guesses(recall, is_line=job.unit in ("word", "line"))
        writer = Writer(self._loaded, job.request, job.unit, healing, timings, guesses)
        writer.recall = recall
        text = with_line_feeds(job.request.prefix[-NUM_RECALLED_CHARACTERS:])
        before = self._loaded.tokenizer.encode(text)
        writer.before = before if held_back is None else before[:-1]
        writer.num_documents += job.reading.prompt.num_files
        return writer

    def _recall(self, document: str) -> Recall:
        """Return what asks the memory; drafting and choosing ask the same, so it is asked once."""

        @lru_cache(NUM_RECALLED)
        def recall(history: tuple[int, ...]) -> Recalled | None:
            return self._memory.recall(history, but=document)

        return recall

    def _budget(self, request: CompletionRequest) -> Budget:
        num_leading = len(self._loaded.leading_token_ids)
        return budget_for(self._loaded.model.context_length - num_leading, request.max_tokens)


def _job(request: CompletionRequest, reading: Reading, place: Place | None) -> _Job:
    syntax = None if place is None else place.scope
    unit = unit_for(request.scope, syntax, request.prefix, request.suffix)
    return _Job(request, reading, place, unit)


def _shown(writer: Writer, reason: FinishReason, job: _Job) -> Sound:
    return sound(clean(writer.text, writer.around), reason, job.place)


def _different(ways: Iterator[_Answer], text: str, num_wanted: int) -> tuple[str, ...]:
    """Return other texts to choose from; some ways come to the same."""
    texts = list[str]()
    if not text or num_wanted < 1:
        return ()
    for answer in islice(ways, 2 * num_wanted):
        other = answer.shown.text
        texts += [other] if other and other not in (text, *texts) else []
        if len(texts) == num_wanted:
            break
    return tuple(texts)


def _never(_token_id: int) -> bool:
    return False
