"""An engine host that is shared: attach to the one that runs, or start it.

It offers what a Child does (serving/child.py), which is one editor's own host.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Mapping
from typing import Final

from inference.errors import WireError
from inference.serving.child import MAX_LAST_WORDS_BYTES, last_line_of, minimal_environment
from inference.serving.connection import Outgoing
from inference.serving.shared.peer import Peer, peer
from inference.serving.shared.place import Place
from inference.serving.wire import FromHost, read_from_host

START_S: Final = 10.0
"""How long a host may take until it listens, which is before it loads anything large."""

POLL_S: Final = 0.02


class Attached(Outgoing, asyncio.Protocol):
    """`ended` becomes the reason, in words, once the connection is closed."""

    def __init__(
        self,
        place: Place,
        on_message: "Callable[[Attached, FromHost], None]",
        on_room: Callable[[], None],
    ) -> None:
        self._place = place
        self._on_message, self._on_room = on_message, on_room
        self._reader = read_from_host()
        self._reason = ""
        self._peer = Peer(0, is_us=False)
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls,
        place: Place,
        environment: Mapping[str, str],
        on_message: "Callable[[Attached, FromHost], None]",
        on_room: Callable[[], None],
    ) -> "Attached":
        """Attach to the host of a place. Raises OSError where there is none, and none is to be had.

        `on_room` is called when it reads on after it was not listening.
        The first message may come before this returns, none comes after `ended`.
        """
        loop = asyncio.get_running_loop()
        until: float | None = None
        while True:
            try:
                _, attached = await loop.create_unix_connection(
                    lambda: cls(place, on_message, on_room), os.fspath(place.socket)
                )
            except OSError:
                if until is None:
                    until = loop.time() + START_S
                    await _start(place, environment)
                elif loop.time() > until:
                    raise
                await asyncio.sleep(POLL_S)
            else:
                return attached

    @property
    def process_id(self) -> int:
        return self._peer.process_id

    @property
    def last_line(self) -> str:
        """The last line that it wrote to stderr; for the user's eyes, not for a log."""
        try:
            with self._place.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - MAX_LAST_WORDS_BYTES))
                return last_line_of(log.read())
        except OSError:
            return ""

    def release(self, reason: str) -> None:
        """Leave it to others. The first reason is the one that `ended` gives."""
        self._reason = self._reason or reason
        self._transport.abort()

    def kill(self, reason: str) -> None:
        """End it for all who share it: it does not work for them either."""
        if self._peer.process_id and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # it is ending by itself
                os.kill(self._peer.process_id, signal.SIGKILL)
        self.release(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = peer(transport)
        if not self._peer.is_us:
            self.release("what listens there is not this user's")
        self._send_by(transport)

    def resume_writing(self) -> None:
        self._on_room()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._on_message(self, message)
        except WireError as error:
            self.release(f"the engine's answers could not be read: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(self._reason or "the shared engine ended")


async def _start(place: Place, environment: Mapping[str, str]) -> None:
    """Start a host, which leaves us; another one that runs there stays."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    log = os.open(place.log, flags, 0o600)
    try:
        starting = await asyncio.create_subprocess_exec(
            *place.command,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=log,
            cwd=place.folder,
            env=minimal_environment(environment),
            start_new_session=True,
        )
    finally:
        os.close(log)
    async with asyncio.timeout(START_S):
        exit_code = await starting.wait()
    if exit_code:
        raise OSError(exit_code, f"it exited with code {exit_code}")
