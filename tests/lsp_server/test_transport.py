import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator

import pytest

from lsp_server import transport
from lsp_server.framing import Lost, frame
from lsp_server.transport import Budget, Connection, Outbox

PATIENCE_SECONDS = 30.0


def test_a_budget_waits_until_there_is_room() -> None:
    budget = Budget(10)
    budget.add(10)
    assert not budget.wait_for_room(0.001)
    threading.Timer(0.001, budget.remove, [1]).start()
    assert budget.wait_for_room(PATIENCE_SECONDS)


class Pipes:
    """A Connection whose two ends a test holds."""

    def __init__(self) -> None:
        read_fd, self.to_server = os.pipe()
        self.from_server, write_fd = os.pipe()
        self.received: asyncio.Queue[bytes | Lost] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.arrived: list[bytes | Lost] = []
        self._descriptors = [read_fd, self.to_server, self.from_server, write_fd]
        self.connection = Connection(read_fd, write_fd, lambda body: body, self)

    def arrive(self, message: bytes | Lost) -> bool:
        self.arrived.append(message)
        return message == b"quick"

    def receive(self, message: bytes | Lost) -> None:
        self.received.put_nowait(message)

    def end(self, reason: str) -> None:
        self.ended.put_nowait(reason)

    def close_one(self, descriptor: int) -> None:
        self._descriptors.remove(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    async def next_frame(self) -> bytes | Lost:
        return await asyncio.wait_for(self.received.get(), PATIENCE_SECONDS)

    async def next_end(self) -> str:
        return await asyncio.wait_for(self.ended.get(), PATIENCE_SECONDS)


@pytest.fixture
async def pipes() -> AsyncIterator[Pipes]:
    pipes = Pipes()
    pipes.connection.start()
    yield pipes
    pipes.close_one(pipes.to_server)
    await pipes.next_end()
    pipes.connection.close()
    pipes.close()


async def test_frames_reach_the_loop_in_order(pipes: Pipes) -> None:
    os.write(pipes.to_server, frame(b"1") + frame(b"2"))
    assert [await pipes.next_frame(), await pipes.next_frame()] == [b"1", b"2"]


async def test_what_is_done_with_on_arrival_is_not_received(pipes: Pipes) -> None:
    os.write(pipes.to_server, frame(b"1") + frame(b"quick") + frame(b"2"))
    assert [await pipes.next_frame(), await pipes.next_frame()] == [b"1", b"2"]
    assert pipes.arrived == [b"1", b"quick", b"2"]


class Steps:
    """A receiver that starts a task for each message."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.done = asyncio.Event()

    def arrive(self, message: bytes) -> bool:
        self.seen.append(f"arrival {message.decode()}")
        return False

    def receive(self, message: bytes) -> None:
        self.seen.append(f"message {message.decode()}")
        self.task = asyncio.ensure_future(self._step(message))

    def end(self, reason: str) -> None:
        self.done.set()

    async def _step(self, message: bytes) -> None:
        self.seen.append(f"step {message.decode()}")


async def test_what_a_message_starts_takes_its_first_step_before_the_next_message() -> None:
    steps = Steps()
    read_fd, to_server = os.pipe()
    connection = Connection(read_fd, os.dup(to_server), lambda body: body, steps)
    connection._arrive(b"1", 1)
    connection._arrive(b"2", 1)
    connection._put(lambda: steps.end(""), 0)
    await asyncio.wait_for(steps.done.wait(), PATIENCE_SECONDS)
    assert steps.seen == ["arrival 1", "arrival 2", "message 1", "step 1", "message 2", "step 2"]
    os.close(read_fd)
    os.close(to_server)
    os.close(connection._write_fd)


def test_what_is_urgent_is_written_first_and_small_things_together() -> None:
    outbox = Outbox()
    outbox.put(b"a")
    outbox.put(b"b" * transport.WRITE_BYTES)
    outbox.put(b"c")
    outbox.put(b"!", is_urgent=True)
    outbox.close()
    assert outbox.take() == b"!a"
    assert outbox.take() == b"b" * transport.WRITE_BYTES
    assert [outbox.take(), outbox.take()] == [b"c", b""]


async def test_a_message_that_stops_coming_is_lost_and_the_next_is_read(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SILENT_SECONDS", 0.01)
    os.write(pipes.to_server, b"Content-Length: 9\r\n\r\n[1")
    assert await pipes.next_frame() == Lost(b"[1", "7 bytes of a message did not come")
    os.write(pipes.to_server, frame(b"[2]"))
    assert await pipes.next_frame() == b"[2]"


async def test_json_lines_are_answered_as_json_lines() -> None:
    pipes = Pipes()
    pipes.connection.start()
    os.write(pipes.to_server, b'{"jsonrpc": "2.0"}\n')
    lost = await pipes.next_frame()
    assert isinstance(lost, Lost)
    assert lost.head == b'{"jsonrpc": "2.0"}\n'
    assert await pipes.next_end() == ""
    pipes.connection.write(b"{}")
    assert os.read(pipes.from_server, 100) == b"{}\n"
    pipes.connection.close()
    pipes.close()


async def test_what_is_written_is_framed(pipes: Pipes) -> None:
    pipes.connection.write(b"{}")
    assert os.read(pipes.from_server, 100) == b"Content-Length: 2\r\n\r\n{}"


async def test_a_large_message_is_written_whole(pipes: Pipes) -> None:
    body = b"x" * (1 << 20)
    pipes.connection.write(body)
    reading = asyncio.to_thread(_read, pipes.from_server, len(frame(body)))
    assert await reading == frame(body)


async def test_garbage_ends_the_connection_with_a_reason(pipes: Pipes) -> None:
    os.write(pipes.to_server, b"hello\r\n\r\n")
    assert await pipes.next_end() == "a header line has no colon"
    pipes.ended.put_nowait("seen")


async def test_frames_before_garbage_are_delivered(pipes: Pipes) -> None:
    os.write(pipes.to_server, frame(b"{}") + b"hello\r\n\r\n")
    assert await pipes.next_frame() == b"{}"
    pipes.ended.put_nowait("seen")


async def test_the_end_of_the_input_has_no_reason() -> None:
    pipes = Pipes()
    pipes.connection.start()
    os.write(pipes.to_server, b"Content-Length: 10\r\n\r\nhalf")
    pipes.close_one(pipes.to_server)
    assert await pipes.next_end() == ""
    pipes.connection.close()
    pipes.close()


async def test_a_client_that_is_gone_ends_the_connection() -> None:
    pipes = Pipes()
    pipes.connection.start()
    pipes.close_one(pipes.from_server)
    pipes.connection.write(b"{}")
    assert (await pipes.next_end()).startswith("writing failed")
    pipes.close_one(pipes.to_server)
    assert await pipes.next_end() == ""
    pipes.close()


async def test_a_client_that_does_not_read_counts_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STALLED_SECONDS", 0.01)
    monkeypatch.setattr(transport, "MAX_QUEUED_BYTES", 1 << 20)
    pipes = Pipes()
    pipes.connection.start()
    pipes.connection.write(b"x" * (2 << 20))
    os.write(pipes.to_server, frame(b"{}"))
    assert await pipes.next_end() == "the client stopped reading"
    pipes.close_one(pipes.from_server)
    assert (await pipes.next_end()).startswith("writing failed")
    pipes.close()


def _read(descriptor: int, num_bytes: int) -> bytes:
    data = b""
    while len(data) < num_bytes:
        data += os.read(descriptor, num_bytes - len(data))
    return data


async def test_a_flood_wakes_the_loop_once_a_turn(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, num_wakings = asyncio.get_running_loop(), 0
    wake = loop.call_soon_threadsafe

    def counted(*arguments: object) -> object:
        nonlocal num_wakings
        num_wakings += 1
        return wake(*arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    bodies = [b"%d" % number for number in range(5 * transport.POSTED_A_TURN)]
    os.write(pipes.to_server, b"".join(map(frame, bodies)))
    until = time.monotonic() + PATIENCE_SECONDS
    while len(pipes.connection._posted) < len(bodies):  # the loop does something else meanwhile
        assert time.monotonic() < until
        time.sleep(0.001)  # noqa: ASYNC251 - that is what is tested
    assert num_wakings == 1
    assert [await pipes.next_frame() for _ in bodies] == bodies


async def test_what_breaks_on_arrival_holds_up_nothing_behind_it(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    arrive = pipes.arrive

    def breaking(message: bytes | Lost) -> bool:
        if message == b"bad":
            raise ValueError
        return arrive(message)

    monkeypatch.setattr(pipes, "arrive", breaking)
    os.write(pipes.to_server, b"".join(map(frame, (b"bad", b"good", b"bad", b"better"))))
    assert [await pipes.next_frame(), await pipes.next_frame()] == [b"good", b"better"]
