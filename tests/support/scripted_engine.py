"""An engine whose answers, delays and failures are written down beforehand. It counts.

As the protocol says, a newer request for a document makes the older one empty.
"""

import asyncio

import msgspec

from inference import (
    Completion,
    CompletionRequest,
    EngineState,
    EngineStatus,
    FinishReason,
    InklingError,
    Request,
)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What the next requests meet. `is_held` requests wait for `release`, `step_ms` each step."""

    text: str = "return 1"
    alternatives: tuple[str, ...] = ()
    finish_reason: FinishReason = FinishReason.BLOCK
    num_steps: int = 1
    step_ms: float = 0.0
    is_held: bool = False
    raises: str = ""
    """"user": an error whose text may be shown; "bug": one whose text quotes the document."""


class Log(msgspec.Struct):
    requests: list[CompletionRequest] = []
    warmed: list[CompletionRequest] = []
    left: list[str] = []
    remembered: dict[str, str | None] = {}
    num_running: int = 0
    num_answered: int = 0
    num_cancelled: int = 0
    num_steps: int = 0
    num_closed: int = 0
    num_retried: int = 0
    num_restarted: int = 0


class ScriptedEngine:
    def __init__(self, script: Script | None = None, status: EngineStatus | None = None) -> None:
        self.script = script or Script()
        self.log = Log()
        self._status = status or EngineStatus(state=EngineState.READY)
        self._gate = _gate(self.script)
        self._latest: dict[str, asyncio.Task[None]] = {}

    async def complete(self, request: CompletionRequest) -> Completion:
        script, log = self.script, self.log
        log.requests.append(request)
        log.num_running += 1
        older = self._latest.get(request.document)
        if older is not None:
            older.cancel()
        work = self._latest[request.document] = asyncio.ensure_future(self._work(script))
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            work.cancel()
            log.num_cancelled += 1
            raise
        finally:
            log.num_running -= 1
        log.num_answered += 1
        if work.cancelled():
            return Completion.nothing(FinishReason.SUPERSEDED)
        match script.raises:
            case "user":
                raise InklingError("the script says no")
            case "bug":
                raise ValueError(f"cannot cope with {request.prefix!r}")
            case _:
                return Completion(
                    text=script.text,
                    finish_reason=script.finish_reason,
                    alternatives=script.alternatives[: _num_more(request)],
                )

    def remember(self, document: str, text: str | None) -> None:
        self.log.remembered[document] = text

    def leave(self, document: str) -> None:
        self.log.left.append(document)

    def warm(self, request: CompletionRequest) -> None:
        self.log.warmed.append(request)

    async def wait_ready(self) -> EngineStatus:
        return self._status

    def status(self) -> EngineStatus:
        return self._status

    def retry(self) -> None:
        self.log.num_retried += 1

    def restart(self) -> None:
        self.log.num_restarted += 1

    def stop(self, message: str) -> None:
        self._status = EngineStatus(state=EngineState.FAILED, message=message)

    async def close(self) -> None:
        self.log.num_closed += 1

    def play(self, script: Script) -> None:
        """Change what the next requests meet; those that are held go on."""
        self.release()
        self.script = script
        self.log = Log()
        self._gate = _gate(script)

    def release(self) -> None:
        """Let go what is held, and what the same script would hold later."""
        self._gate.set()

    async def _work(self, script: Script) -> None:
        for _ in range(script.num_steps):
            await asyncio.sleep(script.step_ms / 1000)
            self.log.num_steps += 1
        await self._gate.wait()


def _num_more(request: Request) -> int:
    return request.num_candidates - 1 if isinstance(request, CompletionRequest) else 0


def _gate(script: Script) -> asyncio.Event:
    gate = asyncio.Event()
    if not script.is_held:
        gate.set()
    return gate
