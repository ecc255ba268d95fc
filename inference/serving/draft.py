"""A completion while it is being written, and the requests that wait for it.

The engine thread makes its text grow; whoever waits does so in the event loop. A later request that
what is written already agrees with waits here too instead of starting anew. Who was promised a
first text waits a little for all of it, then gets the lines that stand; the rest is written all the
same.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import msgspec

from inference.completion import (
    MAX_TEXT_CHARACTERS,
    Completion,
    CompletionRequest,
    FinishReason,
)
from inference.decoding.postprocess import Surroundings, clean
from inference.serving.completion_cache import remainder, typed_since
from inference.serving.scheduler import Job
from inference.timing import now_ms

SHARE_FOR_ALL: Final = 0.25
"""Of the time in which a first text was promised: so long it is worth waiting for all of it."""


class Draft:
    """One job's completion; `submit` queues the job that writes it and publishes as it grows."""

    def __init__(
        self,
        request: CompletionRequest,
        submit: Callable[["Draft"], Job[Completion]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.request = request
        self.num_waiting = 0
        self.is_asked_for = True
        self._loop = loop
        self._grown = asyncio.Event()
        self._written = Completion.nothing(FinishReason.LINE)
        self.job = submit(self)
        self.done = asyncio.wrap_future(self.job.future)
        self.done.add_done_callback(_look_at)

    def publish(self, written: Completion) -> None:
        """Take what is written so far, see Publish; called in the engine thread."""
        has_new_line = written.text.count("\n") > self._written.text.count("\n")
        self._written = written
        if has_new_line:
            with contextlib.suppress(RuntimeError):  # the loop has ended; so has all waiting
                self._loop.call_soon_threadsafe(self._grown.set)

    def agrees_with(self, request: CompletionRequest) -> bool:
        """Say whether what is written already begins with what was typed since."""
        typed = typed_since(self.request, request)
        text = self._written.text
        return typed is not None and len(typed) < len(text) and text.startswith(typed)

    async def answer(self, request: CompletionRequest, received_ms: float) -> Completion | None:
        """Return the completion, or its first lines where it takes longer; None if not for it.

        Raises what the job raises.
        """
        self.num_waiting += 1
        try:
            if request.first_text_ms is not None:
                until_ms = received_ms + SHARE_FOR_ALL * request.first_text_ms
                await asyncio.wait({self.done}, timeout=max(0.0, until_ms - now_ms()) / 1000)
                while not self.done.done():
                    if (lines := self._lines_for(request)) is not None:
                        return lines
                    await self._until_it_grows()
            return self._whole_for(request, await asyncio.shield(self.done))
        finally:
            self.num_waiting -= 1

    async def _until_it_grows(self) -> None:
        self._grown.clear()
        grown = asyncio.ensure_future(self._grown.wait())
        await asyncio.wait({self.done, grown}, return_when=asyncio.FIRST_COMPLETED)
        grown.cancel()

    def _lines_for(self, request: CompletionRequest) -> Completion | None:
        """Return the whole lines that stand, if any is left to be shown."""
        text, _, _ = self._written.text.rpartition("\n")
        if not text.strip():
            return None
        shown = clean(text, Surroundings.of(self.request.prefix, self.request.suffix))
        lines = msgspec.structs.replace(self._written, text=shown)
        return self._whole_for(request, lines) if shown else None

    def _whole_for(self, request: CompletionRequest, completion: Completion) -> Completion | None:
        if request is self.request:
            return completion
        typed = typed_since(self.request, request)
        found = None if typed is None else remainder(completion, typed, request)
        return None if found is None else msgspec.structs.replace(found, origin="joined")


def with_typed(request: CompletionRequest, text: str) -> CompletionRequest:
    """Return the request that follows where a completion is accepted."""
    prefix = request.prefix + text
    num_cut = max(0, len(prefix) - MAX_TEXT_CHARACTERS)
    return msgspec.structs.replace(
        request, prefix=prefix[num_cut:], num_skipped=request.num_skipped + num_cut
    )


def _look_at(future: asyncio.Future[Completion]) -> None:
    """Take a failure as seen: who waits sees it, and nobody may be waiting."""
    if not future.cancelled():
        future.exception()
