"""One engine host process: start it, talk with it, know how it ended.

A Child lives from start to reaped. It knows messages and process ids; it knows nothing of
requests, restarts or time.
"""

import asyncio
import signal
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from inference.errors import WireError
from inference.serving.connection import Outgoing
from inference.serving.wire import FromHost, read_from_host

MAX_LAST_WORDS_BYTES: Final = 4096

DRAIN_S: Final = 0.5
"""How long a dead host's pipes may stay open in processes that it left behind."""

_STDIN: Final = 0
_STDOUT: Final = 1

_KEPT: Final = frozenset(
    {
        *("HOME", "LANG", "LANGUAGE", "PATH", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV"),
        *("DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH"),
        # Where the user's installed models lie.
        *("APPDATA", "XDG_DATA_HOME"),
        *("LOCALAPPDATA", "SYSTEMDRIVE", "SYSTEMROOT", "USERPROFILE", "WINDIR"),
    }
)
_KEPT_PREFIXES: Final = ("CUDA_", "LC_", "OMP_", "ORT_", "PYTHON")


class Child(Outgoing, asyncio.SubprocessProtocol):
    """`ended` becomes the reason, in words, once the process is reaped and its pipes are closed."""

    def __init__(
        self, on_message: "Callable[[Child, FromHost], None]", on_room: Callable[[], None]
    ) -> None:
        self._on_message, self._on_room = on_message, on_room
        self._reader = read_from_host()
        self._last_words = b""
        self._reason = ""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_message: "Callable[[Child, FromHost], None]",
        on_room: Callable[[], None],
    ) -> "Child":
        """Start the process. Raises OSError where it cannot be started.

        `on_room` is called when it reads on after it was not listening.
        The first message may come before this returns, none comes after `ended`.
        On Linux the host dies with the thread that calls this, so that must be one that stays.
        """
        _, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(on_message, on_room),
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=minimal_environment(environment),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows only
        )
        return child

    @property
    def process_id(self) -> int:
        return self._transport.get_pid()

    @property
    def last_line(self) -> str:
        """The last line that it wrote to stderr; for the user's eyes, not for a log."""
        return last_line_of(self._last_words)

    def release(self, reason: str) -> None:
        """End it, as nobody else has any use for it."""
        self.kill(reason)

    def kill(self, reason: str) -> None:
        """End it now. The first reason is the one that `ended` gives."""
        self._reason = self._reason or reason
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Said and not asserted: the transports of other loops than asyncio's own, of uvloop, are
        # no classes of these.
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._send_by(cast("asyncio.WriteTransport", self._transport.get_pipe_transport(_STDIN)))

    def resume_writing(self) -> None:
        self._on_room()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != _STDOUT:
            self._last_words = (self._last_words + data)[-MAX_LAST_WORDS_BYTES:]
            return
        try:
            for message in self._reader.feed(data):
                self._on_message(self, message)
        except WireError as error:
            self.kill(f"the engine's answers could not be read: {error}")

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _STDOUT and self._transport.get_returncode() is None:
            # It is ending and will be reaped in a moment, or it can never answer again.
            asyncio.get_running_loop().call_later(DRAIN_S, self.kill, "the engine hung up")

    def process_exited(self) -> None:
        asyncio.get_running_loop().call_later(DRAIN_S, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(self._reason or describe_exit(self._transport.get_returncode()))
        self._transport.close()  # its pipes are gone; asyncio wants to be told


def last_line_of(written: bytes) -> str:
    """Return the last line that says anything, "" where none does."""
    lines = written.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def minimal_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a host needs of an environment: no token, no key, no proxy's password."""
    return {
        name: value
        for name, value in environment.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }


def describe_exit(returncode: int | None) -> str:
    match returncode:
        case None:
            return "the engine ended"
        case -9:
            return "the engine was killed by SIGKILL, as the system does when memory runs out"
        case int() if returncode < 0:
            return f"the engine was killed by {_signal_name(-returncode)}"
        case _:
            return f"the engine exited with code {returncode}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
