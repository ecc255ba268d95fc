"""Sockets and configurations, without a process."""

import asyncio
import socket

import pytest

from inference import InklingError
from team.server import Served, listen, run


async def test_answers_are_sent_without_delay() -> None:
    """Nagle's algorithm would keep the second part of each back until the first is acknowledged."""
    found = asyncio.Queue[int]()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        found.put_nowait(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        await writer.wait_closed()

    listening = listen("127.0.0.1", 0)
    async with await asyncio.start_server(accept, sock=listening):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        assert await found.get()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid", ""])
def test_an_address_that_cannot_be_had(host: str) -> None:
    taken = listen("127.0.0.1", 0)
    with taken, pytest.raises(InklingError, match="cannot be had"):
        listen(host or "127.0.0.1", taken.getsockname()[1])


async def test_files_that_are_no_certificate() -> None:
    with listen("127.0.0.1", 0) as listening, pytest.raises(InklingError, match="no certificate"):
        await run([Served(None, listening, __file__, __file__)])
