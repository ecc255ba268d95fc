"""One client's WebSocket as the link of a session: a message of LSP is one text frame.

The same protocol runs as over standard streams (transport.py); what is cut there by headers is cut
here by the socket. Everything runs on the loop: the socket itself waits for whoever is slow.
"""

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

from lsp_server.decoding import decode
from lsp_server.lines import LARGE_CHARACTERS
from lsp_server.transport import MAX_QUEUED_BYTES, Receiver

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

UNSUPPORTED: Final = 1003
"""RFC 6455, 7.4.1: a frame that is no text."""


class SocketLink:
    def __init__(self, socket: "ServerConnection", receiver: Receiver) -> None:
        self._socket, self._receiver = socket, receiver
        self._waiting: deque[bytes] = deque()
        self._num_bytes = 0
        self._has_more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._read_all()),
            asyncio.create_task(self._write_all()),
        ]

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        """Queue a message, before all others where it is urgent. Never blocks."""
        if self._num_bytes > MAX_QUEUED_BYTES:
            return  # the session is ending, see below
        self._num_bytes += len(data)
        if is_urgent:
            self._waiting.appendleft(data)
        else:
            self._waiting.append(data)
        self._has_more.set()
        if self._num_bytes > MAX_QUEUED_BYTES:
            self._receiver.end("the client stopped reading")

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _read_all(self) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            async for message in self._socket:
                if isinstance(message, bytes):
                    await self._socket.close(UNSUPPORTED, "messages are text")
                    break
                await self._take(message.encode())
        self._receiver.end("")

    async def _take(self, body: bytes) -> None:
        is_large = len(body) >= LARGE_CHARACTERS
        message = await asyncio.to_thread(decode, body) if is_large else decode(body)
        if not self._receiver.arrive(message):
            self._receiver.receive(message)
        await asyncio.sleep(0)  # what a message starts begins before the next one is seen

    async def _write_all(self) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):  # the reader says so
            while await self._has_more.wait():
                while self._waiting:
                    data = self._waiting.popleft()
                    await self._socket.send(data, text=True)
                    self._num_bytes -= len(data)
                self._has_more.clear()
