r"""Move frames between two file descriptors and the event loop, within bounds.

    descriptor ─► reader thread ─► inbox ─► one frame per turn of the loop
    descriptor ◄─ writer thread ◄─ queue ◄─ write()

One thread reads and does nothing else, so a cancellation arrives however busy the handlers are.
One thread writes, so frames never interleave. Nothing here waits on the loop's thread: when the
client does not read, the reader stops reading, and after STALLED_SECONDS the client counts as dead.
This module knows bytes; what a frame says is the protocol's business.

A frame is `Content-Length: N`, further header lines, a blank line, N bytes (LSP 3.18, "Base
Protocol"). Read leniently: header names in any case, optional space, "\r\n" or "\n".
"""

import asyncio
import os
import queue
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

MAX_HEADER_BYTES: Final = 8 << 10
MAX_BODY_BYTES: Final = 64 << 20
MAX_INBOX_BYTES: Final = 64 << 20
MAX_QUEUED_BYTES: Final = 16 << 20
STALLED_SECONDS: Final = 5.0
CLOSING_SECONDS: Final = 0.5
READ_BYTES: Final = 64 << 10

_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")
_HEADER_LINE: Final = re.compile(rb"[ \t]*([!-9;-~]+)[ \t]*:[ \t]*(.*?)[ \t]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,12}")


class FrameError(Exception):
    """The bytes are no frame, and where the next one starts cannot be known."""


class FrameParser:
    """Cut a stream of bytes into bodies, whatever pieces it arrives in."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._body_length: int | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes; yield each body they complete. Raises FrameError."""
        self._buffer += data
        while self._read_header():
            assert self._body_length is not None
            if len(self._buffer) < self._body_length:
                return
            yield self._take(self._body_length)
            self._body_length = None

    def _read_header(self) -> bool:
        """Return whether the length of the next body is known."""
        if self._body_length is None:
            end = _END_OF_HEADER.search(self._buffer, 0, MAX_HEADER_BYTES)
            if end is None:
                if len(self._buffer) >= MAX_HEADER_BYTES:
                    raise FrameError(f"a header is longer than {MAX_HEADER_BYTES} bytes")
                return False
            self._body_length = _content_length(self._take(end.end()))
        return True

    def _take(self, num_bytes: int) -> bytes:
        taken = bytes(self._buffer[:num_bytes])
        del self._buffer[:num_bytes]
        return taken


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Budget:
    """Bytes under way, counted across threads."""

    def __init__(self, num_bytes: int) -> None:
        self._limit = num_bytes
        self._used = 0
        self._changed = threading.Condition()

    def add(self, num_bytes: int) -> None:
        with self._changed:
            self._used += num_bytes

    def remove(self, num_bytes: int) -> None:
        with self._changed:
            self._used -= num_bytes
            self._changed.notify_all()

    def wait_for_room(self, timeout_seconds: float | None = None) -> bool:
        """Block until less than the limit is under way; return False when that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._used < self._limit, timeout_seconds)


class Connection:
    """The two threads and what lies between them and the loop.

    `on_frame` gets each body, and `on_end` once the reason for which nothing more will come: "" at
    the end of the input, else what went wrong. Both run on the loop, one call per turn, so the
    first step of whatever a frame starts has run before the next frame is seen.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        *,
        on_frame: Callable[[bytes], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._on_frame, self._on_end = on_frame, on_end
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[bytes | str] = deque()
        self._inbox_budget = Budget(MAX_INBOX_BYTES)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox_budget = Budget(MAX_QUEUED_BYTES)
        # Daemons: both may be blocked in a system call for ever when the process wants to leave.
        self._writer = threading.Thread(target=self._write_all, name="lsp-writer", daemon=True)
        self._reader = threading.Thread(target=self._read_all, name="lsp-reader", daemon=True)

    def start(self) -> None:
        self._writer.start()
        self._reader.start()

    def write(self, data: bytes) -> None:
        """Queue the body of one message. Never blocks."""
        framed = frame(data)
        self._outbox_budget.add(len(framed))
        self._outbox.put(framed)

    def close(self) -> None:
        """Write what is queued, as far as the client takes it in time."""
        self._outbox.put(None)
        self._writer.join(CLOSING_SECONDS)

    def _read_all(self) -> None:
        parser = FrameParser()
        try:
            while data := os.read(self._read_fd, READ_BYTES):
                for body in parser.feed(data):
                    self._inbox_budget.wait_for_room()
                    self._inbox_budget.add(len(body))
                    self._post(body)
                if not self._outbox_budget.wait_for_room(STALLED_SECONDS):
                    self._post("the client stopped reading")
                    return
        except FrameError as error:
            self._post(str(error))
        except OSError as error:
            self._post(f"reading failed: {error.strerror}")
        else:
            self._post("")

    def _write_all(self) -> None:
        while (data := self._outbox.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._write_fd, view) :]
            except OSError as error:
                self._post(f"writing failed: {error.strerror}")
                return
            self._outbox_budget.remove(len(data))

    def _post(self, item: bytes | str) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrive, item)
        except RuntimeError:  # the loop is closed: the process is leaving
            return

    def _arrive(self, item: bytes | str) -> None:
        self._inbox.append(item)
        if len(self._inbox) == 1:
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        try:
            match self._inbox[0]:
                case bytes(body):
                    self._inbox_budget.remove(len(body))
                    self._on_frame(body)
                case reason:
                    self._on_end(reason)
        finally:
            self._inbox.popleft()
            if self._inbox:
                self._loop.call_soon(self._deliver)


def take_standard_streams() -> tuple[int, int]:
    """Keep stdin and stdout for the protocol; return their new descriptors, to read and to write.

    Native libraries print on descriptor 1: from here on that is stderr. Descriptor 0 reads nothing.
    No child process inherits what is returned, so none can hold the client's pipes open.
    """
    read_fd, write_fd = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return read_fd, write_fd


def _content_length(header: bytes) -> int:
    """Return the one length that a header states. Raises FrameError where there is no such."""
    lengths: set[int] = set()
    for line in header.splitlines():
        if not line.strip():
            continue
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise FrameError("a header line has no colon")
        if match[1].lower() == b"content-length":
            if not _LENGTH.fullmatch(match[2]):
                raise FrameError("the Content-Length is no number of bytes")
            lengths.add(int(match[2]))
    if len(lengths) != 1:
        raise FrameError(f"a header states {len(lengths)} lengths instead of one")
    (length,) = lengths
    if length > MAX_BODY_BYTES:
        raise FrameError(f"a message of {length} bytes is longer than {MAX_BODY_BYTES}")
    return length
