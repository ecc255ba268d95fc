"""Answer requests with as little work as there is: what is known, what is being written, or anew.

    request ──► cache: an earlier completion, what was typed since is its beginning
            ──► the draft that is written for this document, where it agrees with what was typed
            ──► a new draft, which takes the place of the document's older one (scheduler.py)

When a draft is done it is kept, and while nobody waits two things are made ready: what comes next
if the completion is accepted, and the reading of all that there was no time to read.

All of this is for requests that promise a first text within a time. Others are answered by
themselves alone, so that what is measured depends on nothing else. It lives in the event loop.
"""

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from msgspec.structs import replace

from inference.cancellation import CancelToken
from inference.completion import Completion, CompletionRequest, InstructionRequest
from inference.decoding.completer import Completer
from inference.decoding.postprocess import Surroundings
from inference.errors import EngineUnavailableError, RequestCancelledError
from inference.serving.completion_cache import CompletionCache
from inference.serving.draft import Draft, with_typed
from inference.serving.logs import log_without_text
from inference.serving.scheduler import Job, Scheduler
from inference.timing import now_ms

AHEAD_TOKENS: Final = 32
"""The most of what is written before it is asked for."""

LEAVING_GRACE_S: Final = 0.05
"""How long a completion goes on that nobody waits for: an editor cancels before it asks again."""


class Answering:
    def __init__(self, completer: Completer, scheduler: Scheduler[Any]) -> None:
        self._completer = completer
        self._scheduler = scheduler
        self._cache = CompletionCache()
        self._drafts: dict[str, Draft] = {}
        self._ordinals = itertools.count()
        self._latest: dict[str, CompletionRequest] = {}  # of those that wait, by document

    async def answer(self, request: CompletionRequest, received_ms: float) -> Completion:
        """Answer; `received_ms` is when the request came, see now_ms.

        Raises RequestCancelledError where a newer request took its place or its time is over, and
        what the model raises.
        """
        self._latest[request.document] = request
        try:
            if request.first_text_ms is not None and request.num_candidates == 1:
                known = self._cache.find(request) or await self._joined(request, received_ms)
                if known is not None:
                    return known
            completion = await self._wait(self._begin(request, received_ms), request, received_ms)
            assert completion is not None  # the draft is this request's own
            return completion
        finally:
            if self._latest.get(request.document) is request:
                del self._latest[request.document]

    async def follow(self, request: InstructionRequest, received_ms: float) -> Completion:
        """Answer an instruction while no completion is asked for; one that comes goes first.

        Raises RequestCancelledError where its time is over, and what the model raises.
        """
        name = f"following {next(self._ordinals)}"
        due_ms = received_ms + request.deadline_ms
        while True:
            job = self._scheduler.submit_idle(
                name,
                request.document,
                lambda cancel: self._completer.follow(request, cancel),
                resumes=False,
                is_awaited=True,
            )
            left_s = (due_ms - now_ms()) / 1000
            deadline = asyncio.get_running_loop().call_later(left_s, self._scheduler.cancel, job)
            try:
                completion: Completion = await asyncio.wrap_future(job.future)
            except RequestCancelledError:
                if now_ms() >= due_ms:
                    raise
            except asyncio.CancelledError:
                self._scheduler.cancel(job)
                raise
            else:
                return completion
            finally:
                deadline.cancel()

    def read_ahead(self, request: CompletionRequest) -> None:
        """Read all of a request's window while nobody waits."""

        def read(cancel: CancelToken) -> None:
            self._completer.read_ahead(request, cancel)

        job = self._scheduler.submit_idle(
            f"reading {request.document}", request.document, read, resumes=True
        )
        job.future.add_done_callback(_log_failure)

    async def _joined(self, request: CompletionRequest, received_ms: float) -> Completion | None:
        draft = self._drafts.get(request.document)
        if draft is None or not draft.agrees_with(request):
            return None
        self._scheduler.promote(draft.job)
        try:
            return await self._wait(draft, request, received_ms)
        except RequestCancelledError:
            # It may have been broken off a moment before this request came, for another document.
            is_expired = now_ms() >= received_ms + request.deadline_ms
            if is_expired or self._latest.get(request.document) is not request:
                raise
            return None

    async def _wait(
        self, draft: Draft, request: CompletionRequest, received_ms: float
    ) -> Completion | None:
        """Wait for what a draft has for a request; None where that is nothing."""
        draft.is_asked_for = True
        try:
            completion = await draft.answer(request, received_ms)
        except asyncio.CancelledError:
            self._leave(draft, request)
            raise
        if not draft.done.done() and not draft.num_waiting:
            self._scheduler.demote(draft.job)  # its first lines were the answer
        return completion

    def _leave(self, draft: Draft, request: CompletionRequest) -> None:
        """Stop what nobody waits for any more."""

        def stop() -> None:
            if not draft.num_waiting:
                self._scheduler.cancel(draft.job)

        if request.first_text_ms is None:
            stop()
        else:
            asyncio.get_running_loop().call_later(LEAVING_GRACE_S, stop)

    def _begin(self, request: CompletionRequest, received_ms: float) -> Draft:
        def submit(draft: Draft) -> Job[Completion]:
            def write(cancel: CancelToken) -> Completion:
                started_ms = now_ms()
                completion = self._completer.complete(
                    request, cancel, received_ms=received_ms, publish=draft.publish
                )
                completion.timings.queue_ms = started_ms - received_ms
                return completion

            return self._scheduler.submit(request.document, write)

        draft = self._drafted(request, submit)
        left_s = (received_ms + request.deadline_ms - now_ms()) / 1000
        deadline = asyncio.get_running_loop().call_later(left_s, self._scheduler.cancel, draft.job)
        draft.done.add_done_callback(lambda _: deadline.cancel())
        return draft

    def _drafted(
        self, request: CompletionRequest, submit: Callable[[Draft], Job[Completion]]
    ) -> Draft:
        draft = Draft(request, submit, asyncio.get_running_loop())
        self._drafts[request.document] = draft
        draft.done.add_done_callback(lambda done: self._finish(draft, done))
        return draft

    def _finish(self, draft: Draft, done: asyncio.Future[Completion]) -> None:
        request = draft.request
        if self._drafts.get(request.document) is draft:
            del self._drafts[request.document]
        if done.cancelled():
            return
        if done.exception() is not None:
            if not draft.is_asked_for:
                _log_failure(done)
            return
        self._cache.add(request, done.result())
        try:
            self._make_ready(draft, done.result())
        except EngineUnavailableError:
            return  # it was closed meanwhile

    def _make_ready(self, draft: Draft, completion: Completion) -> None:
        """While nobody waits, write what comes next and read all around it.

        Next is what follows if the completion is accepted. Where nothing follows on its line, it is
        the line below, which begins as far to the right. It stops at the first keystroke that asks
        for something else.
        """
        request = draft.request
        if request.first_text_ms is None:
            return
        if draft.is_asked_for:
            self.read_ahead(request)
        if request.document in self._drafts:
            return
        if draft.is_asked_for and completion.text:
            self._write_ahead(with_typed(request, completion.text))
        elif not draft.is_asked_for and not completion.text and (line := line_below(request)):
            self._write_ahead(with_typed(request, line))

    def _write_ahead(self, request: CompletionRequest) -> None:
        request = replace(request, max_tokens=min(request.max_tokens, AHEAD_TOKENS))

        def submit(draft: Draft) -> Job[Completion]:
            return self._scheduler.submit_idle(
                f"writing {request.document}",
                request.document,
                lambda cancel: self._completer.complete(
                    request, cancel, received_ms=now_ms(), publish=draft.publish
                ),
                resumes=False,
            )

        self._drafted(request, submit).is_asked_for = False


def line_below(request: CompletionRequest) -> str:
    """Return the line end and blanks that begin the next line; "" where the cursor's is empty."""
    around = Surroundings.of(request.prefix, request.suffix)
    line = around.cursor_line
    if not line.strip() or around.rest:
        return ""
    return around.line_end + line[: len(line) - len(line.lstrip())]


def _log_failure(done: Future[Any] | asyncio.Future[Any]) -> None:
    """Log what broke work that nobody waited for."""
    error = done.exception()
    if error is not None and not isinstance(error, RequestCancelledError):
        log_without_text(error)
