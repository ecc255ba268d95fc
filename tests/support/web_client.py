"""A client of the playground that may say anything: raw requests, and LSP over a WebSocket."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from lsp_server.cli import create_server
from lsp_server.playground.door import Door
from lsp_server.playground.site import Page
from lsp_server.playground.web import Playground
from lsp_server.server import Feature, InklingServer
from tests.support.scripted_engine import ScriptedEngine

PATIENCE_SECONDS = 10.0
MODELS = ["embedded", "other-model"]


class ClosingEngine(ScriptedEngine):
    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()

    async def close(self) -> None:
        await super().close()
        self.closed.set()


class Opened:
    """A playground that is open, with two files, two models and an engine for each session."""

    def __init__(self, door: Door, engines: list[ClosingEngine]) -> None:
        self.door, self.engines = door, engines
        self.host = door.origin.removeprefix("http://")
        self.port = int(self.host.rpartition(":")[2])
        self.token = door.address.rpartition("#")[2]

    async def answer(self, request: bytes) -> tuple[int | None, Mapping[str, str], bytes]:
        """Send bytes; return status, headers and body, None where the connection just ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        async with asyncio.timeout(PATIENCE_SECONDS):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        if not head:
            return None, {}, b""
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body

    async def status(self, target: str, *, method: str = "GET", body: bytes = b"", **headers: str):
        return (await self.answer(self.request(target, method, body, headers)))[0]

    def request(
        self, target: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] = {}
    ) -> bytes:
        """Return a request as this page's own browser sends it, but for what is said otherwise."""
        lines = {
            "Host": self.host,
            **{key.replace("_", "-"): text for key, text in headers.items()},
        }
        spelled = "".join(f"{key}: {text}\r\n" for key, text in lines.items() if text)
        return f"{method} {target} HTTP/1.1\r\n{spelled}\r\n".encode() + body

    async def key(self) -> str:
        headers = {"Authorization": f"Bearer {self.token}"}
        _, _, body = await self.answer(self.request("/session", headers=headers))
        return json.loads(body)["key"]

    def socket(self, key: str, *, model: str = "embedded", **options: Any) -> connect:
        return connect(
            f"ws://{self.host}/lsp?model={model}",
            origin=self.door.origin,
            subprotocols=["inkling", key],
            proxy=None,
            max_size=None,
            **options,
        )


@asynccontextmanager
async def playground(*features: Feature) -> AsyncIterator[Opened]:
    engines = list[ClosingEngine]()

    def begin(model: str) -> InklingServer:
        assert model in MODELS
        engines.append(ClosingEngine())
        server = create_server(engines[-1])
        server.register(features)
        return server

    pages = {
        "/": Page("text/html; charset=utf-8", gzip.compress(b"<p>the page")),
        "/main.js": Page("text/javascript; charset=utf-8", gzip.compress(b"run()")),
    }
    async with Playground(pages, lambda: MODELS, begin).opened() as door:
        yield Opened(door, engines)


async def ask(socket: ClientConnection, method: str, params: object, request_id: int = 1) -> Any:
    """Send a request; return what it is answered with, whatever comes before that."""
    message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    await socket.send(json.dumps(message))
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for heard in socket:
            answer = json.loads(heard)
            if answer.get("id") == request_id:
                return answer.get("result", answer.get("error"))
    raise AssertionError(f"{method} was not answered")


async def tell(socket: ClientConnection, method: str, params: object) -> None:
    await socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))
