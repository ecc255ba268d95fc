"""One request's way: who asks, is there a place, what the engine says, and whether anybody waits.

    token ──► quota ──► place ──► document ──► engine ──► answer
      401       429    429, 503                  │
                                                 └─ the connection closes: the await is cancelled,
                                                    and the engine stops before its next step

It knows neither the shape of a request nor of an answer (completions.py, infill.py).
"""

import asyncio
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from inference import (
    Completion,
    CompletionRequest,
    Engine,
    FinishReason,
    InvalidRequestError,
)
from team import guard, wire
from team.limits import Admission, Quotas
from team.metrics import Metrics
from team.sessions import Sessions
from team.settings import ServiceSettings
from team.tokens import TokenRecord, TokenStore
from team.wire import Neighbours, Refused

logger = logging.getLogger(__name__)

LEFT: Final = 499
"""What nginx writes for a client that did not wait; nobody receives it."""

NOBODY: Final = TokenRecord(name="", sha256="", created=0)
_SESSION: Final = re.compile(r"[!-~]{1,256}")

Answer = TypeVar("Answer")


class Body(Protocol):
    """What a route's request tells of itself."""

    @property
    def neighbours(self) -> Neighbours: ...
    @property
    def place(self) -> str: ...
    @property
    def is_warming(self) -> bool: ...
    def request(self, document: str, deadline_ms: int) -> CompletionRequest: ...
    def response(self, completion: Completion, model: str) -> Response: ...


class LeftError(Exception):
    """The client closed its connection."""


class Answering:
    def __init__(self, engine: Engine, settings: ServiceSettings, metrics: Metrics) -> None:
        self._engine, self._settings, self._metrics = engine, settings, metrics
        self._tokens = TokenStore(settings.tokens_file) if settings.tokens_file else None
        self._quotas = Quotas()
        self._admission = Admission(settings.max_waiting, settings.max_waiting_of_one)
        self._sessions = Sessions(engine, settings.max_sessions)
        metrics.watch(engine, lambda: self._admission.num_waiting)

    def let_in(self, request: Request) -> TokenRecord:
        """Return who asks. Raises Refused (401) for whoever may not."""
        records = self._tokens.all() if self._tokens else ()
        if not records and not self._settings.requires_token:
            return NOBODY
        token = guard.bearer(request.scope["headers"])
        record = self._tokens.find(token) if self._tokens and token is not None else None
        if record is None:
            raise Refused(401, "a token is needed: Authorization: Bearer inkling_...")
        return record

    async def fill(self, request: Request, body_type: type[Body]) -> Response:
        """Answer a request for a hole to be filled. Raises Refused and LeftError."""
        began = time.monotonic()
        who = self.let_in(request)
        session = _session(request)
        self._quotas.spend(who, began)
        self._admission.check(who.name)
        settings = self._settings
        body = await wire.read(
            request, body_type, limit=settings.max_body_bytes, seconds=settings.body_seconds
        )
        with (
            self._admission.admitted(who.name),  # not before: a body may be slow on its way
            self._sessions.document(who.name, session, body.place) as document,
        ):
            hole = body.request(document, settings.deadline_ms)
            self._sessions.tell(who.name, session, body.neighbours)
            if body.is_warming:
                self._warm(hole)
                return body.response(Completion.nothing(FinishReason.EMPTY), self._model)
            completion = await _unless_left(request, lambda: self._complete(hole))
        self._metrics.observe(completion, self._model, time.monotonic() - began)
        return body.response(completion, self._model)

    @property
    def _model(self) -> str:
        return self._engine.status().model

    async def _complete(self, hole: CompletionRequest) -> Completion:
        try:
            completion = await self._engine.complete(hole)
        except InvalidRequestError as error:
            raise Refused(422, str(error)) from error
        if completion.finish_reason is FinishReason.UNAVAILABLE:
            # Why it is so may name folders of this machine: that is for the service's own log.
            raise Refused(503, "the engine is not ready", retry_after=1.0)
        if completion.finish_reason is FinishReason.FAILED:
            raise Refused(500, "the engine failed at this request")
        return completion

    def _warm(self, hole: CompletionRequest) -> None:
        if not hole.prefix and not hole.suffix:
            return
        try:
            self._engine.warm(hole)
        except InvalidRequestError as error:
            raise Refused(422, str(error)) from error

    def boundary(
        self, route: str, handle: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler that answers whatever happens, counts it, and logs no text of it."""

        async def handled(request: Request) -> Response:
            try:
                guard.check(request.scope["headers"], _raw_path(request), self._settings)
                response = await handle(request)
            except Refused as refused:
                response = wire.refusal(refused)
            except (LeftError, ClientDisconnect):
                response = Response(status_code=LEFT)
            except Exception as error:
                logger.error("a request broke: %s", _place_of(error))  # noqa: TRY400 - it quotes text
                response = wire.refusal(Refused(500, "the service failed at this request"))
            self._metrics.count(route, response.status_code)
            return response

        return handled


async def _unless_left(request: Request, begin: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return what is awaited, or cancel it when the connection closes. Raises LeftError."""
    work = asyncio.ensure_future(begin())
    left = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise LeftError
        return work.result()
    finally:
        work.cancel()
        left.cancel()
        await asyncio.wait({work, left})


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _session(request: Request) -> str | None:
    named = guard.of(request.scope["headers"], b"x-session-id")
    if not named:
        return None
    if len(named) > 1 or not _SESSION.fullmatch(named[0].decode("latin-1")):
        raise Refused(422, "x-session-id is to be one name of at most 256 characters")
    return named[0].decode("ascii")


def _raw_path(request: Request) -> bytes:
    """Return the path as it was sent; a server may keep only what it stands for."""
    raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw_path


def _place_of(error: BaseException) -> str:
    """Return what broke and where, without what the error says: that may quote a document."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{at}"
