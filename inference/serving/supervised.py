"""SupervisedEngine: the engine in a process of its own, which may die without taking us along.

    LOADING ──► READY ──► RESTARTING ──► READY ...      the host died: wait, start another
       │          │         │    ▲
       └──────────┴─────────┴──► FAILED                 it said that the model is bad,
                                                        or it died too often
    out of FAILED, by the first request behind a pause that doubles, or by retry()
    from everywhere, by close() ──► CLOSED

Whatever happens, every request is answered once (invariant 8): with no text where the host is
loading, down, silent or closed. Time is the event loop's, which never goes back.
"""

import asyncio
import dataclasses
import itertools
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    Request,
    checked,
)
from inference.engine import EngineState, EngineStatus
from inference.serving.child import Child
from inference.serving.connection import HostConnection
from inference.serving.patience import Patience, RestartBudget
from inference.serving.shared.place import Place
from inference.serving.telling import Telling
from inference.serving.turns import Turns
from inference.serving.wire import (
    Answer,
    Cancel,
    Complete,
    Failed,
    FromHost,
    Leave,
    Ping,
    Pong,
    Shutdown,
    Status,
    Warm,
)

logger = logging.getLogger(__name__)

ANOTHER_MODEL: Final = "another model was chosen"
RESTART_WANTED: Final = "a restart was asked for"

_SETTLED: Final = {EngineState.READY, EngineState.FAILED, EngineState.CLOSED}
_DOWN: Final = {EngineState.FAILED, EngineState.CLOSED}


@dataclasses.dataclass(frozen=True, slots=True)
class _Pending:
    answer: asyncio.Future[Completion]
    overdue_at: float


class SupervisedEngine:
    """Implements inference.engine.Engine with the host that `command` starts.

    `choice` says which model the host would load; when that changes another one is started.
    `find_place` says where a host lies that others share, if any; it is attached to in place of one
    of our own, and started where it does not run.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        patience: Patience | None = None,
        environment: Mapping[str, str] = os.environ,
        choice: Callable[[], object] = tuple,
        find_place: Callable[[], Place | None] = lambda: None,
    ) -> None:
        self._command = command
        self._patience = patience or Patience()
        self._environment = environment
        self._choice = choice
        self._find_place = find_place
        self._loaded_choice: object = None
        self._budget = RestartBudget(self._patience)
        self._status = EngineStatus(state=EngineState.LOADING)
        self._settled = asyncio.Event()
        self._request_ids = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._turns = Turns()
        self._telling = Telling()
        self._child: HostConnection | None = None
        self._num_silent_beats = 0
        self._stalled_s = 0.0
        self._is_wanted = asyncio.Event()
        self._retry_at = 0.0
        self._supervision: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the host, unless that was done; whatever awaits the engine does it too."""
        if self._supervision is None and self._status.state is not EngineState.CLOSED:
            self._supervision = asyncio.get_running_loop().create_task(self._supervise())

    async def complete(self, request: Request) -> Completion:
        """Answer, see inference.engine.Engine."""
        request = checked(request)
        self.start()
        child = self._child
        if child is not None and self._status.state is EngineState.READY:
            how_it_ended = await self._turns.wait(request, is_open=child.is_listening)
            if how_it_ended is not None:
                return Completion.nothing(how_it_ended)
        if child is None or child is not self._child or self._status.state is not EngineState.READY:
            if asyncio.get_running_loop().time() >= self._retry_at:
                self.retry()
            await asyncio.sleep(0)  # who asks again and again must let us hear of the host
            return Completion.nothing(FinishReason.UNAVAILABLE)
        loop = asyncio.get_running_loop()
        latest_s = self._patience.latest_answer_s(self._status.model_bytes)
        overdue_at = loop.time() + request.deadline_ms / 1000 + latest_s
        request_id, answer = next(self._request_ids), loop.create_future()
        self._pending[request_id] = _Pending(answer, overdue_at)
        child.send(Complete(request_id, request))
        try:
            return await answer
        finally:
            if self._pending.pop(request_id, None):  # unanswered, so the caller was cancelled
                child.send(Cancel(request_id))

    def warm(self, request: CompletionRequest) -> None:
        """See inference.engine.Engine."""
        child, request = self._child, checked(request)
        if child is not None and self._status.state is EngineState.READY and child.is_listening:
            child.send(Warm(request))

    def leave(self, document: str) -> None:
        """See inference.engine.Engine."""
        child = self._child
        if child is not None and self._status.state is EngineState.READY:
            child.send(Leave(document))

    def remember(self, document: str, text: str | None) -> None:
        """See inference.engine.Engine."""
        self._telling.remember(document, text)

    async def wait_ready(self) -> EngineStatus:
        self.start()
        while self._status.state not in _SETTLED:  # it may be down again before we are woken
            await self._settled.wait()
        return self._status

    def status(self) -> EngineStatus:
        return self._status

    def retry(self) -> None:
        """Start a host where the last one failed; nothing happens in any other state."""
        self._is_wanted.set()

    def restart(self) -> None:
        """Start another host in place of the one that runs, or where the last one failed."""
        if self._child is None or self._status.state in _DOWN:
            self.retry()
        else:
            self._become(EngineState.RESTARTING, RESTART_WANTED)
            self._child.kill(RESTART_WANTED)

    def stop(self, message: str) -> None:
        """End the host, as one that failed with this message; nothing happens between two hosts."""
        if self._child is not None and self._status.state not in _DOWN:
            self._become(EngineState.FAILED, message)
            self._child.release(message)

    async def close(self) -> None:
        """Stop, and return once the process was reaped. A second call waits for the first."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._become(EngineState.CLOSED)
        self._answer_all_with_nothing()
        if self._supervision is None:
            return
        if self._child is not None:
            self._child.send(Shutdown())
            await asyncio.wait({self._supervision}, timeout=self._patience.shutdown_grace_s)
        self._supervision.cancel()
        await asyncio.wait({self._supervision})

    async def _supervise(self) -> None:
        try:
            while self._status.state is not EngineState.CLOSED:
                reason = await self._live_through_one_host()
                status = self.status()
                if status.state is EngineState.FAILED:
                    await self._rest(status.message)
                elif status.state is not EngineState.CLOSED and not self._has_other_choice():
                    await self._recover(reason)
        except Exception:
            logger.exception("the engine's supervisor broke")
            self._become(EngineState.FAILED, "the engine's supervisor broke; see the log")
        finally:
            self._answer_all_with_nothing()

    async def _live_through_one_host(self) -> str:
        """Start a host, watch it to its end, and return how it ended."""
        self._num_silent_beats, self._stalled_s = 0, 0.0
        self._loaded_choice = self._choice()
        try:
            child = await self._connect()
        except OSError as error:
            return f"{self._command[0]} cannot be started: {error.strerror}"
        self._child = child
        if self._status.state not in _DOWN:  # its first words may have been that it failed
            self._status = replace(self._status, process_id=child.process_id)
        telling = asyncio.create_task(self._telling.tell(child))
        try:
            await self._watch(child)
        finally:
            telling.cancel()
            child.release("the engine was closed")
            await asyncio.wait({child.ended})
            self._child = None
            self._status = replace(self._status, process_id=None)
            self._answer_all_with_nothing()
        reason = child.ended.result()
        if self._status.state not in _DOWN:
            logger.warning("%s", reason)
        return f"{reason}: {child.last_line}" if child.last_line else reason

    async def _connect(self) -> HostConnection:
        """Attach to the host that is shared, or start one of our own. Raises OSError."""
        place = self._find_place()
        if place is not None:
            from inference.serving.shared.attached import Attached  # no Unix sockets on Windows

            try:
                return await Attached.start(
                    place, self._environment, self._receive, self._listen_again
                )
            except OSError as error:
                logger.warning("no engine can be shared (%s); this one is our own", error.strerror)
        return await Child.start(
            self._command, self._environment, self._receive, self._listen_again
        )

    async def _watch(self, child: HostConnection) -> None:
        beat_s = self._patience.heartbeat_s
        while not (await asyncio.wait({child.ended}, timeout=beat_s))[0]:
            reason = self._why_it_is_stuck()
            if self._has_other_choice():
                self._restarting(ANOTHER_MODEL)
                child.release(ANOTHER_MODEL)
            elif reason:
                child.kill(reason)
            else:
                self._num_silent_beats += 1
                child.send(Ping())

    def _has_other_choice(self) -> bool:
        return self._choice() != self._loaded_choice

    def _why_it_is_stuck(self) -> str:
        patience, model_bytes = self._patience, self._status.model_bytes
        is_ready = self._status.state is EngineState.READY
        limit = patience.silence(model_bytes, is_ready=is_ready)
        if self._num_silent_beats >= limit:
            return f"the engine was silent for {limit * patience.heartbeat_s:g} s"
        if self._stalled_s > patience.longest_step_s(model_bytes):
            return f"the engine took more than {self._stalled_s:.0f} s for one step"
        last = max((pending.overdue_at for pending in self._pending.values()), default=None)
        if last is not None and asyncio.get_running_loop().time() > last:
            return f"the engine was {patience.latest_answer_s(model_bytes):g} s late with an answer"
        return ""

    async def _recover(self, reason: str) -> None:
        delay = self._budget.spend(asyncio.get_running_loop().time())
        if delay is None:
            patience = self._patience
            await self._rest(
                f"{reason}; it ended {patience.max_restarts + 1} times within "
                f"{patience.restart_window_s:g} s: free memory or choose another model"
            )
            return
        self._restarting(f"{reason}; it is started again")
        await asyncio.sleep(delay)

    async def _rest(self, message: str) -> None:
        """Stay failed until somebody asks behind the pause, or something was changed."""
        now = asyncio.get_running_loop().time()
        pause = self._budget.pause(now)
        self._become(EngineState.FAILED, message)
        self._retry_at = now + pause
        logger.warning("the engine rests for at least %g s", pause)
        await self._is_wanted.wait()
        self._restarting(f"{message}; it is tried again")

    def _restarting(self, message: str) -> None:
        self._become(EngineState.RESTARTING, message)
        self._status = replace(self._status, num_restarts=self._status.num_restarts + 1)

    def _listen_again(self) -> None:
        self._turns.end_all(None)

    def _receive(self, child: HostConnection, message: FromHost) -> None:
        self._child = child  # its first words may come before `start` returns
        self._num_silent_beats = 0
        match message:
            case Status(status):
                self._follow(child, status)
            case Answer(request_id, completion):
                self._resolve(request_id, completion)
            case Failed(request_id, error):
                logger.warning("a request failed: %s", error)
                self._resolve(request_id, Completion.nothing(FinishReason.FAILED))
            case Pong(stalled_ms):
                self._stalled_s = stalled_ms / 1000

    def _follow(self, child: HostConnection, status: EngineStatus) -> None:
        """Believe that it is ready or has failed; that it is loading or closing we know."""
        self._status = replace(
            self._status,
            model_bytes=status.model_bytes,
            fills_holes=status.fills_holes,
            follows_instructions=status.follows_instructions,
        )
        if status.state is EngineState.READY:
            self._become(EngineState.READY, status.message, model=status.model)
        if status.state is EngineState.FAILED:  # another start would find the same model
            self._become(EngineState.FAILED, status.message, model=status.model)
            child.release(status.message)

    def _become(self, state: EngineState, message: str = "", *, model: str | None = None) -> None:
        if self._status.state is EngineState.CLOSED:
            return
        if state is EngineState.FAILED and self._status.state is not EngineState.FAILED:
            # Whoever wants it from here on is heard, though the host may take a moment to end.
            self._is_wanted.clear()
            self._retry_at = math.inf
        model = self._status.model if model is None else model
        self._status = replace(self._status, state=state, message=message, model=model)
        if state in _DOWN:
            self._status = replace(self._status, process_id=None)
        if state in _SETTLED:
            self._settled.set()
        else:
            self._settled.clear()

    def _resolve(self, request_id: int, completion: Completion) -> None:
        """Hand over an answer; a request that was cancelled meanwhile has nobody waiting."""
        pending = self._pending.pop(request_id, None)
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(completion)

    def _answer_all_with_nothing(self) -> None:
        for request_id in list(self._pending):
            self._resolve(request_id, Completion.nothing(FinishReason.UNAVAILABLE))
        self._turns.end_all(FinishReason.UNAVAILABLE)
