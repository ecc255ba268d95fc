"""A screen that can be read, for whatever program runs in a terminal."""

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.raw_client import PATIENCE_SECONDS

COLUMNS, LINES = 100, 24


class Screen:
    """Run `command` in a window of tmux's, with what `env` has beside the environment."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], folder: Path) -> None:
        # A socket's address has at most 107 characters.
        self._sockets = tempfile.TemporaryDirectory(prefix="tmux-")
        self._tmux = ["tmux", "-S", f"{self._sockets.name}/s", "-f", "/dev/null"]
        # What a server of tmux's is started with is what its windows get.
        self._env = {**os.environ, **env}
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        self._call("new-session", "-d", *size, "-c", str(folder), *map(str, command))

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, text=True, env=self._env
        )
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # it left with the program
            self._call("kill-server")
        self._sockets.cleanup()

    def type(self, *keys: str) -> None:
        """Type: each of `keys` is one of tmux's names of keys, or text."""
        self._call("send-keys", *keys)

    def text(self) -> str:
        return self._call("capture-pane", "-p")

    def coloured(self) -> str:
        """Return what is on the screen with the escape sequences that paint it."""
        return self._call("capture-pane", "-p", "-e")

    def shows(self, pattern: str, *keys: str) -> re.Match[str]:
        """Wait until the screen has what fits `pattern`.

        `keys` ask for it, again each second: an editor whose server has just started has no answer.
        """
        deadline, asked = time.monotonic() + PATIENCE_SECONDS, 0.0
        while True:
            if keys and time.monotonic() > asked + 1:
                asked = time.monotonic()
                self.type(*keys)
            screen = self.text()
            if found := re.search(pattern, screen):
                return found
            assert time.monotonic() < deadline, f"{pattern} does not come:\n{screen}"
            time.sleep(0.02)
