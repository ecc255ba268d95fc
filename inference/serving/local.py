"""LocalEngine: the model in this process. The only file where asyncio meets the engine thread.

The event loop waits; whatever touches the model runs in the scheduler's thread (invariant 9).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
    Request,
    checked,
)
from inference.decoding.completer import Completer
from inference.decoding.drafting import Speculation
from inference.decoding.line_ends import with_line_feeds
from inference.decoding.loaded import LoadedModel
from inference.decoding.scoring import Score
from inference.engine import EngineState, EngineStatus
from inference.errors import (
    EngineUnavailableError,
    InklingError,
    InvalidModelError,
    ModelNotFoundError,
    RequestCancelledError,
)
from inference.package.manifest import (
    TOKENIZER_FILE,
    Device,
    ModelManifest,
    read_manifest,
    verify_files,
)
from inference.package.store import find_model
from inference.recall.memory import Memory
from inference.runtime.onnx import OnnxModel
from inference.runtime.predictor import load_predictor
from inference.runtime.tokenizer import Tokenizer
from inference.serving.answering import Answering
from inference.serving.logs import log_without_text
from inference.serving.resting import Resting
from inference.serving.scheduler import Scheduler
from inference.timing import now_ms


class LocalEngine:
    """`load` runs in the engine thread, so opening an engine returns at once.

    Where nobody asks for `rest_after_s`, the model's memory is given up until somebody does.
    """

    def __init__(
        self,
        load: Callable[[], LoadedModel],
        *,
        model_bytes: int = 0,
        rest_after_s: float | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._load = load
        self._resting = None if rest_after_s is None else Resting(self._rest, rest_after_s)
        self._memory = memory or Memory()
        self._completer: Completer | None = None
        self._answering: Answering | None = None
        self._status = EngineStatus(state=EngineState.LOADING, model_bytes=model_bytes)
        self._prepared: Future[None] = Future()
        self._prepared.set_running_or_notify_cancel()  # so that a cancelled wait leaves it alone
        self._scheduler: Scheduler[Any] = Scheduler("engine", prepare=self._prepare)

    @classmethod
    def open(
        cls,
        model: str | None = None,
        *,
        num_threads: int | None = None,
        device: Device = "cpu",
        rest_after_s: float | None = None,
        memory: Memory | None = None,
    ) -> "LocalEngine":
        """Load the model of that name or folder, or the one that answers where none is named."""
        return cls(
            lambda: load_package(find_model(model).folder, num_threads=num_threads, device=device),
            model_bytes=_num_bytes(model),
            rest_after_s=rest_after_s,
            memory=memory,
        )

    async def complete(self, request: Request) -> Completion:
        """Answer, see inference.engine.Engine."""
        request, received_ms = checked(request), now_ms()
        answering = self._ready()
        if answering is None:
            return Completion.nothing(FinishReason.UNAVAILABLE)
        try:
            if isinstance(request, InstructionRequest):
                return await answering.follow(request, received_ms)
            return await answering.answer(request, received_ms)
        except RequestCancelledError:
            is_expired = now_ms() >= received_ms + request.deadline_ms
            return Completion.nothing(self._reason_cancelled(is_expired=is_expired))
        except Exception as error:
            return Completion.nothing(self._reason_failed(error))

    def warm(self, request: CompletionRequest) -> None:
        """Read ahead, see inference.engine.Engine."""
        answering, request = self._ready(), checked(request)
        if answering is not None:
            answering.read_ahead(request)

    def leave(self, document: str) -> None:
        """See inference.engine.Engine."""
        self._scheduler.leave(document)

    def remember(self, document: str, text: str | None) -> None:
        """See inference.engine.Engine."""
        self._memory.remember(document, text)

    async def wait_remembered(self) -> None:
        """Return once all that was told is found, for measuring."""
        await asyncio.to_thread(self._memory.wait)

    async def score(self, request: CompletionRequest, middle: str) -> Score:
        """Return how likely the model holds `middle` to be in the hole, see Completer.score.

        For measuring, so unlike `complete` it raises what goes wrong: EngineUnavailableError,
        InvalidRequestError, or RequestCancelledError when a newer request took its place.
        """
        request = checked(request)
        completer = self._completer
        if completer is None:
            raise EngineUnavailableError("no model is loaded; wait until the engine is ready")
        job = self._scheduler.submit(
            request.document, lambda cancel: completer.score(request, middle, cancel)
        )
        try:
            score = await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            self._scheduler.cancel(job)
            raise
        assert isinstance(score, Score)
        return score

    async def wait_ready(self) -> EngineStatus:
        await asyncio.wrap_future(self._prepared)
        return self._status

    def status(self) -> EngineStatus:
        return self._status

    def stalled_ms(self) -> float:
        """Return how long the running request has not begun a step; 0 where none runs."""
        return self._scheduler.stalled_ms()

    def retry(self) -> None:
        """Do nothing: a package is loaded once; who supervises this process starts another."""

    def restart(self) -> None:
        """Do nothing, see retry."""

    def stop(self, message: str) -> None:
        """Do nothing, see retry."""

    async def close(self) -> None:
        """Stop, and return once the thread has ended; a load in progress is waited for."""
        self._status = EngineStatus(state=EngineState.CLOSED, model=self._status.model)
        if self._resting is not None:
            self._resting.close()
        await asyncio.to_thread(self._scheduler.close)
        self._completer = self._answering = None

    def _ready(self) -> Answering | None:
        """Return what answers, None where nothing does; made here, in the event loop's thread."""
        if self._completer is None or self._status.state is not EngineState.READY:
            return None
        if self._answering is None:
            self._answering = Answering(self._completer, self._scheduler)
        if self._resting is not None:
            self._resting.used()
        return self._answering

    def _rest(self) -> None:
        completer = self._completer
        if completer is not None and self._status.state is EngineState.READY:
            self._scheduler.submit_idle("resting", "", lambda _: completer.rest(), resumes=False)

    def _prepare(self) -> None:
        status = EngineStatus(state=EngineState.FAILED, message="loading the model was broken off")
        try:
            status = self._loaded_status()
        except InklingError as error:
            status = EngineStatus(state=EngineState.FAILED, message=str(error))
        except Exception as error:
            log_without_text(error)
            message = f"loading the model failed with {type(error).__name__}; see the log"
            status = EngineStatus(state=EngineState.FAILED, message=message)
        finally:  # whatever was raised: nobody waits for ever
            if self._status.state is EngineState.LOADING:
                self._status = replace(status, model_bytes=self._status.model_bytes)
            self._prepared.set_result(None)

    def _loaded_status(self) -> EngineStatus:
        loaded = self._load()
        completer = Completer(loaded, Speculation(), self._memory)
        completer.warm_up()
        self._memory.begin(
            lambda text: loaded.tokenizer.encode(with_line_feeds(text)), completer.ends_line
        )
        self._completer = completer
        return EngineStatus(
            state=EngineState.READY,
            model=loaded.name,
            fills_holes=loaded.fim is not None,
            follows_instructions=loaded.chat is not None,
        )

    def _reason_failed(self, error: Exception) -> FinishReason:
        if isinstance(error, EngineUnavailableError):  # it was closed meanwhile
            return FinishReason.UNAVAILABLE
        if isinstance(error, InvalidModelError):  # its files are not those that were loaded
            self._status = replace(self._status, state=EngineState.FAILED, message=str(error))
            return FinishReason.UNAVAILABLE
        log_without_text(error)
        return FinishReason.FAILED

    def _reason_cancelled(self, *, is_expired: bool) -> FinishReason:
        if self._status.state is EngineState.CLOSED:
            return FinishReason.UNAVAILABLE
        return FinishReason.DEADLINE if is_expired else FinishReason.SUPERSEDED


def _num_bytes(model: str | None) -> int:
    """Return the size of a package's files; 0 where there is none, which loading will say."""
    try:
        return sum(path.stat().st_size for path in find_model(model).folder.iterdir())
    except (OSError, ModelNotFoundError):
        return 0


def load_package(
    folder: Path, *, num_threads: int | None = None, device: Device = "cpu"
) -> LoadedModel:
    """Check a package against its manifest, then load it.

    Raises ModelNotFoundError or InvalidModelError, or EngineUnavailableError where the device
    cannot be used here.
    """
    manifest = read_manifest(folder)
    ends = manifest.layout_token_ids | frozenset(manifest.eos_token_ids)
    named = ends | frozenset(manifest.leading_token_ids)
    # To compute a hash takes no interpreter, so that both take as long as the longer one.
    with ThreadPoolExecutor(1, "verifying") as verifying:
        verified = verifying.submit(verify_files, manifest, folder)
        try:
            tokenizer = Tokenizer.load(folder / TOKENIZER_FILE, named=named)
        finally:
            verified.result()  # that a file is damaged explains all else
    _check_token_ids(manifest, tokenizer)
    return LoadedModel(
        name=manifest.name,
        model=OnnxModel.load(folder, manifest, num_threads=num_threads, device=device),
        tokenizer=tokenizer,
        fim=manifest.fim,
        end_token_ids=tokenizer.control_token_ids | ends,
        leading_token_ids=manifest.leading_token_ids,
        chat=manifest.chat,
        predictor=(
            load_predictor(folder, manifest, num_threads=num_threads) if device == "cpu" else None
        ),
    )


def _check_token_ids(manifest: ModelManifest, tokenizer: Tokenizer) -> None:
    vocab_size = manifest.architecture.vocab_size
    named = (*manifest.layout_token_ids, *manifest.eos_token_ids, *manifest.leading_token_ids)
    largest = max(tokenizer.vocab_size - 1, *named)
    if largest >= vocab_size:
        raise InvalidModelError(
            f"{manifest.name} has token ids up to {largest} but only {vocab_size} logits; "
            "its tokenizer belongs to another model: export again"
        )
