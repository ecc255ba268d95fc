"""Sessions over WebSockets: each has a server of its own, and ends without the others."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from lsp_server.playground import link
from tests.support.scripted_engine import Script
from tests.support.web_client import Opened, ask, playground, tell

URI = "inmemory://playground/a.py"
INITIALIZE = {"processId": None, "capabilities": {"textDocument": {"inlineCompletion": {}}}}
PLACE = {
    "textDocument": {"uri": URI},
    "position": {"line": 0, "character": 8},
    "context": {"triggerKind": 1},
}


async def begun(opened: Opened, socket: ClientConnection, text: str = "def f():") -> None:
    await ask(socket, "initialize", INITIALIZE)
    await tell(socket, "initialized", {})
    document = {"uri": URI, "languageId": "python", "version": 1, "text": text}
    await tell(socket, "textDocument/didOpen", {"textDocument": document})


async def completed(socket: ClientConnection, request_id: int = 2) -> Any:
    answer = await ask(socket, "textDocument/inlineCompletion", PLACE, request_id)
    return [item["insertText"] for item in answer["items"]]


async def until_closed(opened: Opened, number: int) -> None:
    """Wait until the engine of a session is closed, which is the last of it."""
    await asyncio.wait_for(opened.engines[number].closed.wait(), 10)


async def test_a_completion_comes_over_the_socket() -> None:
    async with playground() as opened, opened.socket(await opened.key()) as socket:
        await begun(opened, socket)
        assert await completed(socket) == ["return 1"]


async def test_each_connection_has_a_server_of_its_own() -> None:
    async with playground() as opened:
        key = await opened.key()
        async with opened.socket(key) as one, opened.socket(key) as other:
            await begun(opened, one)
            await begun(opened, other)
            opened.engines[0].script = Script(text="return 'one'")
            opened.engines[1].script = Script(text="return 'other'")
            assert await completed(one) == ["return 'one'"]
            assert await completed(other) == ["return 'other'"]
            await one.close()
            await until_closed(opened, 0)
            assert await completed(other, 3) == ["return 'other'"]


async def test_a_document_of_half_the_limit_arrives() -> None:
    text = "# " + "x" * (16 << 20)
    async with playground() as opened, opened.socket(await opened.key()) as socket:
        await begun(opened, socket, text)
        assert await completed(socket) == []  # it is larger than what is completed in
        assert (await ask(socket, "workspace/executeCommand", EXPLAIN, 4))["outcome"] == "too_large"


EXPLAIN = {"command": "inkling.explainLast", "arguments": []}


async def test_a_cancellation_is_answered_while_the_model_works() -> None:
    async with playground() as opened, opened.socket(await opened.key()) as socket:
        await begun(opened, socket)
        opened.engines[0].script = Script(is_held=True)
        message = {"jsonrpc": "2.0", "id": 7, "method": "textDocument/inlineCompletion"}
        await socket.send(json.dumps({**message, "params": PLACE}))
        await tell(socket, "$/cancelRequest", {"id": 7})
        async with asyncio.timeout(10):
            answer = json.loads(await socket.recv())
            while answer.get("id") != 7:
                answer = json.loads(await socket.recv())
        assert answer["error"]["code"] == -32800


async def test_exit_ends_the_session_and_closes_the_socket() -> None:
    async with playground() as opened, opened.socket(await opened.key()) as socket:
        await begun(opened, socket)
        assert await ask(socket, "shutdown", None, 9) is None
        await tell(socket, "exit", None)
        await asyncio.wait_for(socket.wait_closed(), 10)
        await until_closed(opened, 0)


async def test_a_lost_connection_ends_the_session() -> None:
    async with playground() as opened:
        socket = await opened.socket(await opened.key())
        await begun(opened, socket)
        socket.transport.abort()
        await until_closed(opened, 0)


async def flooded(socket: ClientConnection) -> None:
    """Send requests until nobody takes them; an id comes back as it was, and may be long."""
    with contextlib.suppress(ConnectionClosed):
        for number in range(2_000):
            message = {"jsonrpc": "2.0", "id": f"{number}{'x' * 50_000}", "method": "x"}
            await socket.send(json.dumps(message))


async def test_who_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow socket costs its own session: nothing waits for it, and not more is kept for it."""
    monkeypatch.setattr(link, "MAX_QUEUED_BYTES", 100_000)
    async with playground() as opened:
        key = await opened.key()
        async with opened.socket(key) as other:
            await begun(opened, other)
            slow = await opened.socket(key, max_queue=1)
            await begun(opened, slow)
            slow.transport.pause_reading()
            flood = asyncio.create_task(flooded(slow))
            await until_closed(opened, 1)
            assert await completed(other) == ["return 1"]
            slow.transport.abort()
            await flood
