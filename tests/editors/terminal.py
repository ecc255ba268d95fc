"""A terminal of a program's own, as somebody at a keyboard has it, and how long that one waits."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from tests.support.raw_client import PATIENCE_SECONDS

LINES: Final = 24
COLUMNS: Final = 100

GHOST_COLOUR: Final = 201
"""Of the terminal's 256: whoever wants to know when ghost text is painted has it in this colour."""

GHOST: Final = rb"\x1b\[[\d;]*38[;:]5[;:]201[\d;]*m"
"""How a program begins to paint in that colour."""


class Terminal:
    """Run `command` in a terminal; what it paints is kept, with the time of each piece."""

    def __init__(
        self, command: Sequence[str | Path], env: Mapping[str, str], folder: Path | None = None
    ) -> None:
        self._ours, theirs = pty.openpty()
        size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        self.process = subprocess.Popen(
            # It leads a session of its own, whose terminal this is.
            ["setsid", "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**os.environ, **env, "TERM": "xterm-256color"},
        )
        os.close(theirs)
        self._painted = bytearray()
        self._news = threading.Condition()
        self._last_paint = time.perf_counter()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:  # the program has ended
                return
            with self._news:
                self._painted += piece
                self._last_paint = time.perf_counter()
                self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def milliseconds_until_painted(self, keys: bytes, pattern: bytes = GHOST) -> float:
        """Type and wait until what fits `pattern`, by default ghost text, is painted."""
        with self._news:
            start = len(self._painted)
            begun = time.perf_counter()
            self.type(keys)
            painted = self._news.wait_for(
                lambda: re.search(pattern, self._painted[start:]), PATIENCE_SECONDS
            )
            assert painted, f"{pattern!r} does not come: {bytes(self._painted[start:])!r}"
            return (self._last_paint - begun) * 1000

    def milliseconds_to_ghost(self, key: bytes) -> float:
        """Type where nothing is shown, and return when ghost text was painted.

        A pure move takes back what is shown, which would be painted with the key once more.
        """
        self.wait_until_still()
        self.type(b"\x1b[D")
        self.wait_until_still()
        self.type(b"\x1b[C")
        self.wait_until_still()
        return self.milliseconds_until_painted(key)

    def wait_until_still(self, seconds: float = 0.1) -> None:
        """Wait until nothing was painted for a while, which begins now."""
        time.sleep(seconds)
        while (left := self._last_paint + seconds - time.perf_counter()) > 0:
            time.sleep(left)
