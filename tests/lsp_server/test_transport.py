import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server import transport
from lsp_server.transport import Budget, Connection, FrameError, FrameParser, frame

PATIENCE_SECONDS = 30.0


def check(data: bytes, *bodies: bytes) -> None:
    assert list(FrameParser().feed(data)) == list(bodies)


def check_refused(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        list(FrameParser().feed(data))


def test_two_frames_in_one_piece() -> None:
    check(frame(b"{}") + frame(b"[1]"), b"{}", b"[1]")


def test_half_a_frame_waits_for_the_other_half() -> None:
    parser = FrameParser()
    data = frame(b"{}")
    assert list(parser.feed(data[:-1])) == []
    assert list(parser.feed(data[-1:])) == [b"{}"]


def test_a_header_in_lower_case_without_a_space() -> None:
    check(b"content-length:2\r\n\r\n{}", b"{}")


def test_a_header_that_ends_its_lines_with_line_feeds() -> None:
    check(b"Content-Length: 2\n\n{}", b"{}")


def test_further_header_lines() -> None:
    check(b"Content-Type: application/x; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}", b"{}")


def test_the_same_length_twice() -> None:
    check(b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", b"{}")


def test_an_empty_body() -> None:
    check(b"Content-Length: 0\r\n\r\n" + frame(b"{}"), b"", b"{}")


def test_a_body_that_looks_like_a_header() -> None:
    check(frame(b"Content-Length: 9\r\n\r\n"), b"Content-Length: 9\r\n\r\n")


def test_two_lengths_are_refused() -> None:
    check_refused(b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "2 lengths")


def test_no_length_is_refused() -> None:
    check_refused(b"Content-Type: x\r\n\r\n", "0 lengths")


def test_garbage_is_refused() -> None:
    check_refused(b"\x00\xff hello\r\n\r\n", "no colon")


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"0x10", b"", b"1 2", b"9" * 5000])
def test_a_length_that_is_no_number_is_refused(length: bytes) -> None:
    check_refused(b"Content-Length: " + length + b"\r\n\r\n", "no number")


def test_a_huge_length_is_refused() -> None:
    check_refused(b"Content-Length: 999999999999\r\n\r\n", "longer than 67108864")


def test_an_endless_header_is_refused() -> None:
    check_refused(b"x" * transport.MAX_HEADER_BYTES, "header is longer")


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_frames_arrive_whole_in_whatever_pieces(bodies: list[bytes], data: st.DataObject) -> None:
    parser, received = FrameParser(), list[bytes]()
    for piece in _pieces(b"".join(map(frame, bodies)), data):
        received += parser.feed(piece)
    assert received == bodies


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        bodies = list(FrameParser().feed(data))
        assert sum(map(len, bodies)) < max(len(data), 1)


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
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self._descriptors = [read_fd, self.to_server, self.from_server, write_fd]
        self.connection = Connection(
            read_fd,
            write_fd,
            on_frame=self.received.put_nowait,
            on_end=self.ended.put_nowait,
        )

    def close_one(self, descriptor: int) -> None:
        self._descriptors.remove(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    async def next_frame(self) -> bytes:
        return await asyncio.wait_for(self.received.get(), PATIENCE_SECONDS)

    async def end(self) -> str:
        return await asyncio.wait_for(self.ended.get(), PATIENCE_SECONDS)


@pytest.fixture
async def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    pipes.connection.start()
    yield pipes
    pipes.close_one(pipes.to_server)
    await pipes.end()
    pipes.connection.close()
    pipes.close()


async def test_frames_reach_the_loop_in_order(pipes: Pipes) -> None:
    os.write(pipes.to_server, frame(b"1") + frame(b"2"))
    assert [await pipes.next_frame(), await pipes.next_frame()] == [b"1", b"2"]


async def test_what_a_frame_starts_takes_its_first_step_before_the_next_frame() -> None:
    seen: list[str] = []
    done = asyncio.Event()

    async def step(body: bytes) -> None:
        seen.append(f"step {body.decode()}")

    def on_frame(body: bytes) -> None:
        seen.append(f"frame {body.decode()}")
        asyncio.ensure_future(step(body)).add_done_callback(
            lambda _: done.set() if len(seen) == 4 else None
        )

    read_fd, to_server = os.pipe()
    connection = Connection(read_fd, os.dup(to_server), on_frame=on_frame, on_end=seen.append)
    connection._arrive(b"1")
    connection._arrive(b"2")
    await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    assert seen == ["frame 1", "step 1", "frame 2", "step 2"]
    os.close(read_fd)
    os.close(to_server)
    os.close(connection._write_fd)


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
    assert await pipes.end() == "a header line has no colon"
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
    assert await pipes.end() == ""
    pipes.connection.close()
    pipes.close()


async def test_a_client_that_is_gone_ends_the_connection() -> None:
    pipes = Pipes()
    pipes.connection.start()
    pipes.close_one(pipes.from_server)
    pipes.connection.write(b"{}")
    assert (await pipes.end()).startswith("writing failed")
    pipes.close_one(pipes.to_server)
    assert await pipes.end() == ""
    pipes.close()


async def test_a_client_that_does_not_read_counts_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STALLED_SECONDS", 0.01)
    monkeypatch.setattr(transport, "MAX_QUEUED_BYTES", 1 << 20)
    pipes = Pipes()
    pipes.connection.start()
    pipes.connection.write(b"x" * (2 << 20))
    os.write(pipes.to_server, frame(b"{}"))
    assert await pipes.end() == "the client stopped reading"
    pipes.close_one(pipes.from_server)
    assert (await pipes.end()).startswith("writing failed")
    pipes.close()


def _pieces(data: bytes, draw: st.DataObject) -> Iterator[bytes]:
    while data:
        size = draw.draw(st.integers(1, len(data)))
        yield data[:size]
        data = data[size:]


def _read(descriptor: int, num_bytes: int) -> bytes:
    data = b""
    while len(data) < num_bytes:
        data += os.read(descriptor, num_bytes - len(data))
    return data
