"""FallbackEngine: a remote engine, and the local one for when that does not answer.

    not ready, an instruction ──► local
    trouble                   ──► local, at once
    silence for PATIENCE_MS,
    also in mid-answer        ──► both; the first one with a text answers

An endpoint that usually takes longer than that gets twice what it usually takes, as far as the
request lets it. Nobody waits for an endpoint that is in trouble: it is connected to while the local
engine answers, behind pauses (trouble.py). Nothing pops up; status() says it in one line.
"""

import asyncio
from typing import Any, Final

from msgspec.structs import replace

from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    Request,
    checked,
)
from inference.engine import Engine, EngineState, EngineStatus
from inference.serving.remote.engine import RemoteEngine

PATIENCE_MS: Final = 100.0
"""Behind it the model that ships has a text within 150 ms of the question (fault F20)."""

SETTLE_S: Final = 3.0
"""How long a start waits for the endpoint, while the local model is being loaded."""

_NO_ANSWER: Final = (FinishReason.UNAVAILABLE, FinishReason.FAILED)


class _Pulse:
    """When an endpoint last said something, counted from when it was asked."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.last = self._loop.time()
        self.beaten = asyncio.Event()

    def beat(self) -> None:
        self.last = self._loop.time()
        self.beaten.set()


class FallbackEngine:
    """Implements inference.engine.Engine; it owns both."""

    def __init__(self, remote: RemoteEngine, local: Engine) -> None:
        self._remote = remote
        self._local = local
        self._tasks: set[asyncio.Task[Any]] = set()

    async def complete(self, request: Request) -> Completion:
        """Answer, see inference.engine.Engine."""
        request = checked(request)
        is_ready = self._remote.status().state is EngineState.READY
        if not isinstance(request, CompletionRequest) or not is_ready:
            self._remote.wake()
            return await self._local.complete(request)
        pulse = _Pulse()
        remote = self._spawn(self._remote.attempt(request, pulse.beat))
        try:
            await self._patiently(remote, pulse, request)
            if remote.done() and remote.result().finish_reason not in _NO_ANSWER:
                return remote.result()
            return await self._first_text(request, remote, pulse)
        except asyncio.CancelledError:
            remote.cancel()
            raise

    def warm(self, request: CompletionRequest) -> None:
        """Have the local engine read, so that it can answer at once."""
        self._local.warm(request)

    def leave(self, document: str) -> None:
        """See inference.engine.Engine."""
        self._local.leave(document)
        self._remote.leave(document)

    def remember(self, document: str, text: str | None) -> None:
        """See inference.engine.Engine."""
        self._local.remember(document, text)
        self._remote.remember(document, text)

    async def wait_ready(self) -> EngineStatus:
        """Return once the endpoint is there, or is not and the local engine is ready or failed."""
        remote = self._spawn(self._remote.wait_ready())
        local = self._spawn(self._local.wait_ready())
        await asyncio.wait({remote}, timeout=SETTLE_S)
        if self._remote.status().state is not EngineState.READY:
            await asyncio.wait({local})
        return self.status()

    def status(self) -> EngineStatus:
        """Return the remote engine's, or the local one's with a word about why it answers."""
        remote, local = self._remote.status(), self._local.status()
        follows = local.follows_instructions
        if remote.state in (EngineState.READY, EngineState.CLOSED):
            return replace(remote, follows_instructions=follows, process_id=local.process_id)
        if not remote.message:
            return local
        if local.state is EngineState.READY:
            return replace(local, message=f"{remote.message}; {local.model} completes meanwhile")
        if local.state is EngineState.FAILED:
            return replace(local, message=f"{remote.message}; {local.message}")
        return local

    def retry(self) -> None:
        """See inference.engine.Engine."""
        self._remote.retry()
        self._local.retry()

    def restart(self) -> None:
        """See inference.engine.Engine."""
        self._remote.restart()
        self._local.restart()

    def stop(self, message: str) -> None:
        """See inference.engine.Engine."""
        self._remote.stop(message)
        self._local.stop(message)

    async def close(self) -> None:
        """See inference.engine.Engine."""
        await asyncio.gather(self._remote.close(), self._local.close())
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _patiently(
        self, remote: asyncio.Task[Completion], pulse: "_Pulse", request: CompletionRequest
    ) -> None:
        """Wait until the endpoint is done, or has said nothing for too long."""
        patience_s = self._patience_ms(request) / 1000
        while not remote.done():
            left_s = pulse.last + patience_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                return
            await asyncio.wait({remote}, timeout=left_s)

    def _patience_ms(self, request: CompletionRequest) -> float:
        """Return how long to wait; not at all longer for what would not be there in time."""
        longest = request.first_text_ms or request.deadline_ms / 4
        usual = self._remote.first_piece_ms
        return max(PATIENCE_MS, min(2 * usual, longest)) if usual < longest else PATIENCE_MS

    async def _first_text(
        self, request: CompletionRequest, remote: asyncio.Task[Completion], pulse: "_Pulse"
    ) -> Completion:
        """Ask the local engine too, and return the first text that is there."""
        local = self._spawn(self._local.complete(request))
        try:
            waiting: set[asyncio.Task[Completion]] = {local, remote}
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda one: one is local):
                    completion = task.result()
                    if completion.text or completion.finish_reason is FinishReason.SUPERSEDED:
                        return completion
            return local.result()
        finally:
            local.cancel()
            if not remote.done() and local.done():
                self._remote.slow()
                self._spawn(self._learn(remote, pulse))

    async def _learn(self, remote: asyncio.Task[Completion], pulse: "_Pulse") -> None:
        """Let the endpoint say its first word, so that it is known how long it takes."""
        listening = self._spawn(pulse.beaten.wait())
        both: set[asyncio.Task[Any]] = {remote, listening}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            remote.cancel()

    def _spawn(self, work: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - any coroutine
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits is told; nobody may be there any more
