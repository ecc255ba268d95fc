"""Answer a browser: the page's files, the key for whoever has the address, and a socket.

GET /, /main.js ...   the page
GET /session          with the token or the key: the key, and the models there are
GET /lsp?model=NAME   with the key: a WebSocket that speaks LSP, with a server of its own
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from inference import InklingError
from lsp_server.playground.door import LOOPBACK, PROTOCOL, Door
from lsp_server.playground.link import SocketLink
from lsp_server.playground.site import Page, page_response, response
from lsp_server.server import InklingServer, converse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

MAX_MESSAGE_BYTES: Final = 32 << 20
MAX_SESSIONS: Final = 4
"""Each is a server with a model of its own."""

OPENING_SECONDS: Final = 5.0
"""How long a request may take to come."""

CLOSING_SECONDS: Final = 1.0


class Playground:
    """`models` names those there are, the one to begin with first; `begin` opens a session."""

    def __init__(
        self,
        pages: Mapping[str, Page],
        models: Callable[[], Sequence[str]],
        begin: Callable[[str], InklingServer],
    ) -> None:
        self._pages, self._models, self._begin = pages, models, begin
        self._door = Door(0)
        self._num_sessions = 0

    @asynccontextmanager
    async def opened(self, port: int = 0) -> "AsyncGenerator[Door]":
        """Listen while the block runs; the door knows the address. Raises InklingError."""
        from websockets.asyncio.server import serve

        async with AsyncExitStack() as stack:
            try:
                listening = await stack.enter_async_context(
                    serve(
                        self._talk,
                        LOOPBACK,
                        port,
                        process_request=self._answer,
                        subprotocols=[_subprotocol()],
                        compression=None,
                        max_size=MAX_MESSAGE_BYTES,
                        open_timeout=OPENING_SECONDS,
                        close_timeout=CLOSING_SECONDS,
                        server_header=None,
                    )
                )
            except OSError as error:
                raise InklingError(
                    f"port {port} cannot be had ({error.strerror}); name another with --port"
                ) from error
            self._door = Door(next(iter(listening.sockets)).getsockname()[1])
            yield self._door

    def _answer(self, _: "ServerConnection", request: "Request") -> "Response | None":
        """Return the answer to a request, or None where a socket is to be opened."""
        refusal = self._door.refusal(request)
        if refusal is not None:
            return self._refused(refusal)
        path = request.path.partition("?")[0]
        if path == "/lsp":
            return self._socket_answer(request)
        if path == "/session":
            return self._session_answer(request)
        page = self._pages.get(request.path)
        if page is None:
            return self._refused(HTTPStatus.NOT_FOUND)
        accepted = request.headers.get("Accept-Encoding", "")
        return page_response(page, accepted, self._door.socket_origin)

    def _socket_answer(self, request: "Request") -> "Response | None":
        refusal = self._door.socket_refusal(request)
        if refusal is None and _model_asked_for(request) not in self._models():
            refusal = HTTPStatus.NOT_FOUND
        if refusal is None and self._num_sessions >= MAX_SESSIONS:
            refusal = HTTPStatus.SERVICE_UNAVAILABLE
        return None if refusal is None else self._refused(refusal)

    def _session_answer(self, request: "Request") -> "Response":
        if not self._door.lets_in(request):
            return self._refused(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        told = {"key": self._door.key, "models": self._models()}
        body = json.dumps(told).encode()
        return response(HTTPStatus.OK, body, "application/json", self._door.socket_origin)

    def _refused(self, status: HTTPStatus, more: Mapping[str, str] | None = None) -> "Response":
        body = f"{status.phrase}\n".encode()
        return response(status, body, "text/plain; charset=utf-8", self._door.socket_origin, more)

    async def _talk(self, socket: "ServerConnection") -> None:
        """Have a session with one client, from its first message to its last."""
        assert socket.request is not None
        self._num_sessions += 1
        try:
            server = self._begin(_model_asked_for(socket.request))
            await converse(server, SocketLink(socket, server.protocol))
            await asyncio.wait_for(socket.close(), CLOSING_SECONDS)
        except TimeoutError:
            socket.transport.abort()  # it does not even read that this is the end
        finally:
            self._num_sessions -= 1


def _model_asked_for(request: "Request") -> str:
    return "".join(parse_qs(urlsplit(request.path).query).get("model", [])[:1])


def _subprotocol() -> Any:  # noqa: ANN401 - a name to the type checker only
    from websockets.typing import Subprotocol

    return Subprotocol(PROTOCOL)
