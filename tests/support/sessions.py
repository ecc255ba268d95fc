"""A server in this process: what its handlers send is kept, no descriptor is touched."""

import asyncio
import json
from typing import Any

from lsprotocol import types

from lsp_server.cli import create_server
from lsp_server.decoding import decode
from lsp_server.documents import Document
from lsp_server.framing import Lost
from lsp_server.insight.journal import Journal
from lsp_server.lines import Lines
from lsp_server.server import InklingServer
from tests.support.scripted_engine import ScriptedEngine

URI = "file:///workspace/a.py"


async def turns() -> None:
    """Let everything run that waits for nothing but its turn of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


class KeptMessages:
    """Stands where the connection stands."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.messages: list[dict[str, Any]] = []
        self.num_urgent = 0

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        self.bodies.append(data)
        self.messages.append(decode(data))
        self.num_urgent += is_urgent

    def close(self) -> None:
        pass


class Session:
    def __init__(
        self, engine: ScriptedEngine | None = None, journal: Journal | None = None
    ) -> None:
        self.engine = engine or ScriptedEngine()
        self.server: InklingServer = create_server(self.engine, journal)
        self.kept = KeptMessages()
        self.server.protocol.set_writer(self.kept)

    def receive(self, message: object) -> None:
        self.receive_bytes(json.dumps(message).encode())

    def receive_bytes(self, body: bytes | Lost) -> None:
        """Take the body of one message, or what is left of it, as the connection does."""
        message, protocol = decode(body), self.server.protocol
        if not protocol.arrive(message):
            protocol.receive(message)

    def request(self, request_id: object, method: str, params: object = None) -> None:
        self.receive({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def notify(self, method: str, params: object = None) -> None:
        self.receive({"jsonrpc": "2.0", "method": method, "params": params})

    def initialize(self, **params: object) -> None:
        self.request(
            0, "initialize", {"processId": None, "rootUri": None, "capabilities": {}, **params}
        )
        self.kept.bodies.clear()
        self.kept.messages.clear()

    def open(self, text: str, uri: str = URI, language: str = "python") -> None:
        self.server.documents.open(types.TextDocumentItem(uri, language, 1, text))


def document_of(text: str, uri: str = URI) -> Document:
    return Document(uri, "python", 1, Lines.of(text), types.PositionEncodingKind.Utf16)


def cursor_in(marked: str) -> tuple[Document, int]:
    """Return the document of a text with a cursor written as <|>, and the cursor's offset."""
    before, after = marked.split("<|>")
    return document_of(before + after), len(before)
