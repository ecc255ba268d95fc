"""RemoteEngine: somebody else's model behind the engine's door.

    LOADING ──► READY ──► FAILED         trouble: a pause, 5 s at first and 60 s at last
                  ▲          │
                  └──────────┘           the first request behind the pause has it tried again, and
    from everywhere, by close() ──► CLOSED            is not kept waiting for that

What was answered is known while it is typed (completion_cache.py). No text of a request or of an
answer is ever in a message or a log.
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
    Request,
    checked,
    file_name,
)
from inference.engine import EngineState, EngineStatus
from inference.errors import RemoteError
from inference.serving.completion_cache import CompletionCache
from inference.serving.logs import log_without_text
from inference.serving.remote.credentials import find_token, session_id, session_secret
from inference.serving.remote.dialects import Way, question, warming
from inference.serving.remote.endpoint import Endpoint, RemoteOptions, layout_for
from inference.serving.remote.neighbours import Neighbours
from inference.serving.remote.trouble import Breaker, TroubleError

if TYPE_CHECKING:
    from inference.serving.remote.link import Link
    from inference.serving.remote.own import OwnWritten
    from inference.serving.remote.probe import Found
    from inference.serving.remote.written import Written

logger = logging.getLogger(__name__)

SESSION: Final = "x-session-id"

SHARE_FOR_ALL: Final = 0.25
"""Of the time in which a first text was promised: so long it is worth waiting for all of it."""

READ_OUT_S: Final = 0.05

_DOWN: Final = (EngineState.FAILED, EngineState.CLOSED)


def _nothing() -> None:
    return None


def _link(endpoint: Endpoint) -> "tuple[Link, bytes]":
    """Return a connection to be, and the secret for sessions. Raises RemoteError and OSError.

    Loading httpx2 and the system's certificates takes longer than the event loop may stand still.
    """
    from inference.serving.remote.link import Link

    return Link(endpoint, find_token(endpoint)), session_secret()


def _prepare() -> None:
    """Load the grammars before somebody waits for them: that takes longer than an answer may."""
    from inference.serving.remote.written import find_place

    find_place(CompletionRequest(document="", prefix="x", language="python"))


async def _read_out(lines: AsyncGenerator[bytes]) -> None:
    """Read what little is left of an answer, so that its connection can be used again."""
    with suppress(TroubleError, TimeoutError):
        async with asyncio.timeout(READ_OUT_S):
            async for _ in lines:
                pass


class RemoteEngine:
    """Implements inference.engine.Engine.

    Raises RemoteError where the options name no address, or a layout that is unknown.
    """

    def __init__(self, options: RemoteOptions) -> None:
        layout_for("", options)
        self._options = options
        self._endpoint = Endpoint.parse(options.url)
        self._status = EngineStatus(state=EngineState.LOADING)
        self._settled = asyncio.Event()
        self._breaker = Breaker()
        self._cache = CompletionCache()
        self._neighbours = Neighbours(options.num_neighbours)
        self._link: Link | None = None
        self._found: Found | None = None
        self._secret = b""
        self._is_stopped = False
        self._connecting: asyncio.Task[None] | None = None
        self._ahead: set[asyncio.Task[None]] = set()
        self._running: dict[str, asyncio.Task[Completion]] = {}
        self.first_piece_ms = 0.0
        """How long the endpoint usually takes to say something; 0 where nothing is known."""

    @property
    def address(self) -> str:
        return self._endpoint.origin

    async def complete(self, request: Request) -> Completion:
        """Answer, see inference.engine.Engine."""
        return await self.attempt(request)

    async def attempt(self, request: Request, heard: Callable[[], None] = _nothing) -> Completion:
        """Answer; `heard` is called when the endpoint says something. See complete."""
        request = checked(request)
        if isinstance(request, InstructionRequest):
            return Completion.nothing(FinishReason.EMPTY)
        self.wake()
        if self._status.state is not EngineState.READY:
            await asyncio.sleep(0)  # who asks again and again must let us hear of the endpoint
            return Completion.nothing(FinishReason.UNAVAILABLE)
        known = self._cache.find(request) if request.first_text_ms is not None else None
        if known is not None:
            return known
        return await self._alone(request, heard)

    def wake(self) -> None:
        """Begin to connect, where that was not done or has failed and the pause is over."""
        is_settled = self._status.state in (EngineState.READY, EngineState.CLOSED)
        if is_settled or self._is_stopped or self._connecting is not None:
            return
        if self._breaker.may_try(asyncio.get_running_loop().time()):
            self._connecting = asyncio.ensure_future(self._connect())

    def slow(self) -> None:
        """Take note that a request had to be answered by someone else."""
        if self._breaker.slow():
            self._fail(TroubleError("it is too slow"))

    def warm(self, request: CompletionRequest) -> None:
        """Have our own service read; others are asked for what somebody waits for and no more."""
        request, link, found = checked(request), self._link, self._found
        is_ready = self._status.state is EngineState.READY
        if is_ready and link is not None and found is not None and found.ability.way is Way.OWN:
            task = asyncio.create_task(self._read_ahead(request, link), name=request.document)
            self._ahead.add(task)
            task.add_done_callback(self._ahead.discard)

    def leave(self, document: str) -> None:
        """Stop having it read; the service goes on with what it has begun."""
        for task in self._ahead:
            if task.get_name() == document:
                task.cancel()

    def remember(self, document: str, text: str | None) -> None:
        """See inference.engine.Engine; it is told further only where the user wants that."""
        self._neighbours.remember(document, text)

    async def wait_ready(self) -> EngineStatus:
        self.wake()
        while not self._settled.is_set():
            await self._settled.wait()
        return self._status

    def status(self) -> EngineStatus:
        return self._status

    def retry(self) -> None:
        """Connect at once where that has failed."""
        self._breaker.try_now()
        self._is_stopped = False
        self.wake()

    def restart(self) -> None:
        """Ask the endpoint anew what it can do."""
        self._forget()
        if self._status.state is not EngineState.CLOSED:
            self._become(EngineState.RESTARTING)
            self.retry()

    def stop(self, message: str) -> None:
        """Leave the endpoint alone until retry(), as after trouble with this message."""
        self._is_stopped = True
        for task in self._running.values():
            task.cancel()
        self._become(EngineState.FAILED, message)

    async def close(self) -> None:
        """Close every connection; what runs is answered with no text."""
        self._become(EngineState.CLOSED)
        all_tasks = (self._connecting, *self._running.values(), *self._ahead)
        tasks = [task for task in all_tasks if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()

    async def _alone(self, request: CompletionRequest, heard: Callable[[], None]) -> Completion:
        """Fill a hole in place of what is running for its document; return what can be shown.

        Where that is its first lines the rest goes on, until something else is asked for there.
        """
        older = self._running.pop(request.document, None)
        if older is not None:
            older.cancel()
        first: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        work = asyncio.ensure_future(self._fill(request, heard, first))
        self._running[request.document] = work
        work.add_done_callback(lambda _: self._finished(request.document, work))
        try:
            await asyncio.wait({work, first}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            raise
        if first.done():
            return first.result()
        if work.cancelled():
            is_up = self._status.state is EngineState.READY
            reason = FinishReason.SUPERSEDED if is_up else FinishReason.UNAVAILABLE
            return Completion.nothing(reason)
        return work.result()

    def _finished(self, document: str, work: asyncio.Task[Completion]) -> None:
        if self._running.get(document) is work:
            del self._running[document]

    async def _fill(
        self,
        request: CompletionRequest,
        heard: Callable[[], None],
        first: asyncio.Future[Completion],
    ) -> Completion:
        """Return all that the endpoint writes; `first` gets the lines that stand in time."""
        due = asyncio.get_running_loop().time() + request.deadline_ms / 1000
        written = await self._begin(request)
        try:
            async with asyncio.timeout_at(due):
                await self._write(request, written, heard, first)
        except TimeoutError:
            if not written.text:
                self.slow()
        except TroubleError as error:
            self._fail(error)
            return Completion.nothing(FinishReason.UNAVAILABLE)
        except Exception as error:
            log_without_text(error)
            return Completion.nothing(FinishReason.FAILED)
        else:
            self._breaker.answered()
        completion = await asyncio.to_thread(written.completion, FinishReason.DEADLINE)
        self._cache.add(request, completion)
        return completion

    async def _begin(self, request: CompletionRequest) -> "Written | OwnWritten":
        """Return what takes the answer: our own service's fits already."""
        assert self._found is not None
        way, layout = self._found.ability.way, self._found.layout
        if way is Way.OWN:
            from inference.serving.remote.own import OwnWritten

            return OwnWritten()
        from inference.serving.remote.written import Written, find_place

        place = await asyncio.to_thread(find_place, request)
        return Written(way, request, place, layout.markers if layout else ())

    async def _write(
        self,
        request: CompletionRequest,
        written: "Written | OwnWritten",
        heard: Callable[[], None],
        first: asyncio.Future[Completion],
    ) -> None:
        """Take what the endpoint writes until there is a reason to stop. Raises TroubleError."""
        found, link, loop = self._found, self._link, asyncio.get_running_loop()
        assert found is not None
        assert link is not None
        asked = question(
            found.ability.way,
            request,
            found.ability.model,
            found.layout,
            stop=written.stop,
            neighbours=self._neighbours.of(request.document),
        )
        started, is_heard = loop.time(), False
        first_due = started + SHARE_FOR_ALL * (request.first_text_ms or math.inf) / 1000
        async with aclosing(link.lines(asked, self._session(request))) as lines:
            async for line in lines:
                is_all = written.feed(line)
                if not is_heard:
                    is_heard = True
                    self._heard_after((loop.time() - started) * 1000)
                heard()
                if is_all:
                    if written.is_ended:
                        await _read_out(lines)
                    return
                if loop.time() >= first_due and written.has_whole_line and not first.done():
                    first.set_result(await asyncio.to_thread(written.first_lines))
        raise TroubleError("the connection broke off")

    def _session(self, request: CompletionRequest) -> dict[str, str]:
        return {SESSION: session_id(self._secret, request.document)}

    async def _read_ahead(self, request: CompletionRequest, link: "Link") -> None:
        """Have our own service read; what becomes of it is nobody's business."""
        asked = warming(request, self._neighbours.of(request.document))
        with suppress(TroubleError):
            await link.post(asked, self._session(request))

    async def _connect(self) -> None:
        """Ask the endpoint what it can do; afterwards it is ready, or it has failed."""
        try:
            if self._link is None:
                self._link, self._secret = await asyncio.to_thread(_link, self._endpoint)
            from inference.serving.remote.probe import find_ability

            self._found = found = await find_ability(self._link, self._endpoint, self._options)
            if found.ability.way is not Way.OWN:
                await asyncio.to_thread(_prepare)
        except (RemoteError, OSError) as error:
            self._fail(error)
        except Exception as error:
            logger.warning("connecting failed with %s", type(error).__name__)
            self._fail(TroubleError(f"connecting failed with {type(error).__name__}; see the log"))
        else:
            self.first_piece_ms = self.first_piece_ms or found.round_trip_ms
            ability = found.ability
            self._status = replace(
                self._status, fills_holes=ability.fills_holes, model_bytes=ability.model_bytes
            )
            name = file_name(ability.model) or self._endpoint.host
            self._become(EngineState.READY, model=name)
        finally:
            self._connecting = None

    def _fail(self, error: Exception) -> None:
        """Leave the endpoint alone for a pause, and say why in one line."""
        is_trouble = isinstance(error, TroubleError)
        if is_trouble and error.is_refusal:
            self._forget()
        asked_s = error.pause_s if is_trouble else 0.0
        self._breaker.trouble(asyncio.get_running_loop().time(), asked_s)
        said = f"{self.address}: {error}" if is_trouble else str(error)
        if self._status.state not in _DOWN:
            logger.warning("%s", said)
        self._become(EngineState.FAILED, said)

    def _forget(self) -> None:
        if self._found is not None:
            from inference.serving.remote.probe import forget

            forget(self._endpoint, self._found.ability.model)

    def _heard_after(self, milliseconds: float) -> None:
        """Learn how long the endpoint takes: at once where it takes longer, else bit by bit."""
        share = 0.5 if milliseconds > self.first_piece_ms else 0.2
        self.first_piece_ms += share * (milliseconds - self.first_piece_ms)

    def _become(self, state: EngineState, message: str = "", *, model: str | None = None) -> None:
        if self._status.state is EngineState.CLOSED:
            return
        model = self._status.model if model is None else model
        self._status = replace(self._status, state=state, message=message, model=model)
        if state in (EngineState.READY, *_DOWN):
            self._settled.set()
        else:
            self._settled.clear()
