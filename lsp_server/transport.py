"""Move messages between two file descriptors and the event loop, within bounds.

    descriptor ─► reader thread: cut, decode ─► inbox ─► one message per turn of the loop
    descriptor ◄─ writer thread ◄─ outbox ◄─ write()

One thread reads and does nothing else, so a cancellation arrives however busy the handlers are.
One thread writes, so frames never interleave. Nothing here waits on the loop's thread: when the
client does not read, the reader stops reading, and after STALLED_SECONDS the client counts as dead.
This module knows bytes; what a message says is the receiver's business.
"""

import asyncio
import contextlib
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

from lsp_server.framing import FrameError, FrameParser, JsonLinesError, Lost, frame, json_line

MAX_INBOX_BYTES: Final = 64 << 20
MAX_QUEUED_BYTES: Final = 16 << 20
STALLED_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 10.0
"""How long nothing may come of a message that has begun; then nobody shall wait for it any longer.

Only that message is lost, so an editor that was stopped in the middle of writing may go on. The
clock stands still while the machine sleeps.
"""
POSTED_A_TURN: Final = 64
"""Messages that the loop sees ahead of those that wait, before it does anything else."""

CLOSING_SECONDS: Final = 0.5
READ_BYTES: Final = 64 << 10
WRITE_BYTES: Final = 64 << 10


class Receiver(Protocol):
    """Whom messages are for. Everything is called on the loop."""

    def arrive(self, message: Any) -> bool:  # noqa: ANN401 - what `decode` makes
        """See a message ahead of those that wait; return whether that was all it needed."""
        ...

    def receive(self, message: Any) -> None:  # noqa: ANN401
        """Take the next message. One call per turn of the loop.

        So the first step of whatever a message starts has run before the next one is seen.
        """
        ...

    def end(self, reason: str) -> None:
        """Hear once why nothing more will come: "" at the end of the input, else what is wrong."""
        ...


class Link(Protocol):
    """What carries messages between a client and a session's protocol."""

    def start(self) -> None: ...

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        """Queue the body of one message, before all others where it is urgent. Never blocks."""
        ...

    def close(self) -> None: ...


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


class Outbox:
    """What waits to be written: in its order, but for what is urgent. May be used by any thread."""

    def __init__(self) -> None:
        self._urgent: deque[bytes] = deque()
        self._others: deque[bytes] = deque()
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, data: bytes, *, is_urgent: bool = False) -> None:
        with self._changed:
            (self._urgent if is_urgent else self._others).append(data)
            self._changed.notify()

    def close(self) -> None:
        """Let `take` return b"" once everything is taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def take(self) -> bytes:
        """Wait for something; return what can go out in one piece."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent or self._others or self._is_closed)
            taken, num_bytes = list[bytes](), 0
            for waiting in (self._urgent, self._others):
                while waiting and (not taken or num_bytes + len(waiting[0]) <= WRITE_BYTES):
                    taken.append(waiting.popleft())
                    num_bytes += len(taken[-1])
            return b"".join(taken)


class Connection:
    """The two threads and what lies between them and the loop.

    `decode` makes a message of each body, or of what is known of a lost one, in the reader thread.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        decode: Callable[[bytes | Lost], Any],
        receiver: Receiver,
    ) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._decode, self._receiver = decode, receiver
        self._loop = asyncio.get_running_loop()
        self._posted: deque[Callable[[], None]] = deque()
        self._is_woken = False
        self._inbox: deque[tuple[Callable[[], None], int]] = deque()
        self._inbox_budget = Budget(MAX_INBOX_BYTES)
        self._outbox = Outbox()
        self._outbox_budget = Budget(MAX_QUEUED_BYTES)
        self._framed = frame
        # Daemons: both may be blocked in a system call for ever when the process wants to leave.
        self._writer = threading.Thread(target=self._write_all, name="lsp-writer", daemon=True)
        self._reader = threading.Thread(target=self._read_all, name="lsp-reader", daemon=True)

    def start(self) -> None:
        self._writer.start()
        self._reader.start()

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        """Queue the body of one message, before all others where it is urgent. Never blocks."""
        framed = self._framed(data)
        self._outbox_budget.add(len(framed))
        self._outbox.put(framed, is_urgent=is_urgent)

    def close(self) -> None:
        """Write what is queued, as far as the client takes it in time."""
        self._outbox.close()
        self._writer.join(CLOSING_SECONDS)

    def _read_all(self) -> None:
        parser = FrameParser()
        try:
            while (bodies := self._read_some(parser)) is not None:
                for body in bodies:
                    self._post_message(body)
                if not self._outbox_budget.wait_for_room(STALLED_SECONDS):
                    self._post_end("the client stopped reading")
                    return
        except JsonLinesError as error:
            self._framed = json_line  # who writes so reads so
            self._post_message(Lost(error.head, str(error)))
            self._post_end("")
        except FrameError as error:
            self._post_end(str(error))
        except OSError as error:
            self._post_end(f"reading failed: {error.strerror}")
        else:
            self._post_end("")

    def _read_some(self, parser: FrameParser) -> Iterable[bytes | Lost] | None:
        """Wait for bytes; return the bodies that they complete, or None at the end."""
        if parser.is_within_body and not _is_readable(self._read_fd, SILENT_SECONDS):
            return [parser.give_up()]
        data = os.read(self._read_fd, READ_BYTES)
        return parser.feed(data) if data else None

    def _write_all(self) -> None:
        while data := self._outbox.take():
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._write_fd, view) :]
            except OSError as error:
                self._post_end(f"writing failed: {error.strerror}")
                return
            self._outbox_budget.remove(len(data))

    def _post_message(self, body: bytes | Lost) -> None:
        num_bytes = len(body) if isinstance(body, bytes) else len(body.head)
        self._inbox_budget.wait_for_room()
        self._inbox_budget.add(num_bytes)
        self._post(self._arrive, self._decode(body), num_bytes)

    def _post_end(self, reason: str) -> None:
        self._post(self._put, lambda: self._receiver.end(reason), 0)

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        """Have the loop call back, in order; from any thread.

        The loop is woken once for all that comes until it looks. Woken for each message of a flood
        it reads nothing but wakings, for as long as the reader is quicker than it (14 ms measured).
        """
        self._posted.append(partial(callback, *arguments))
        if self._is_woken:
            return
        self._is_woken = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is leaving
            self._loop.call_soon_threadsafe(self._take_posted)

    def _take_posted(self) -> None:
        self._is_woken = False  # before it looks: what is posted behind that wakes it again
        try:
            for _ in range(min(len(self._posted), POSTED_A_TURN)):
                self._posted.popleft()()
        finally:
            if self._posted and not self._is_woken:
                self._is_woken = True
                self._loop.call_soon(self._take_posted)

    def _arrive(self, message: Any, num_bytes: int) -> None:  # noqa: ANN401
        if self._receiver.arrive(message):
            self._inbox_budget.remove(num_bytes)
        else:
            self._put(lambda: self._receiver.receive(message), num_bytes)

    def _put(self, deliver: Callable[[], None], num_bytes: int) -> None:
        self._inbox.append((deliver, num_bytes))
        if len(self._inbox) == 1:
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        deliver, num_bytes = self._inbox[0]
        try:
            self._inbox_budget.remove(num_bytes)
            deliver()
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


def _is_readable(descriptor: int, timeout_seconds: float) -> bool:
    """Wait until there is something to read, or the end; Windows cannot wait for a pipe."""
    if sys.platform == "win32":
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))
