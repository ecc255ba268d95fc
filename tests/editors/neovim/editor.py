"""A real Neovim that a test types into, over its own RPC on standard streams."""

import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from tests.editors import debian
from tests.support.raw_client import PATIENCE_SECONDS, ROOT

PLUGIN = ROOT / "editors" / "neovim"

SUITES = {"0.10": "trixie", "0.12": "sid"}
"""The Debian suite that has a version, where this machine's own may not."""

# What tests read back, in the editor's own words.
HELPERS = """
notices, deprecated = {}, {}
vim.notify = function(message) table.insert(notices, message) end
vim.deprecate = function(name) table.insert(deprecated, name) end

function ghost()
  local namespace = vim.api.nvim_get_namespaces().inkling
  local marks = vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })
  if #marks == 0 then return nil end
  local details = marks[1][4]
  local lines = { details.virt_text and details.virt_text[1][1] or "" }
  for _, chunks in ipairs(details.virt_lines or {}) do
    table.insert(lines, chunks[1][1])
  end
  return table.concat(lines, "\\n")
end

function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), "\\n")
end
"""

RECORDER = """
painted = {}
vim.api.nvim_create_autocmd("TextChangedI", { buffer = 0, callback = function()
  table.insert(painted, { vim.api.nvim_get_current_line(), ghost() or "" })
end })
"""


class Program(NamedTuple):
    path: Path
    full_version: str

    @property
    def version(self) -> tuple[int, int]:
        major, minor = self.full_version.split(".")[:2]
        return int(major), int(minor)


def find(name: str) -> Program:
    """Return the program of a version; "system" is what the machine's own packages have.

    Raises UnavailableError, with the reason, where it cannot be had.
    """
    path = Path(shutil.which("nvim") or "")
    if name != "system":
        path = debian.fetch(SUITES[name], "neovim", "usr/bin/nvim") / "usr" / "bin" / "nvim"
    elif path == Path():
        raise debian.UnavailableError("nvim is not installed")
    done = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
    return Program(path, re.search(r"[\d.]+\d", done.stdout)[0])


class Neovim:
    """`home` is where it keeps what it writes; `setup` is Lua for the end of its configuration."""

    def __init__(self, program: Program, home: Path, setup: str) -> None:
        folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in _FOLDERS}
        init = home / "init.lua"
        init.write_text(
            f'vim.opt.runtimepath:prepend("{PLUGIN}")\nvim.cmd("filetype plugin on")\n'
            f'vim.o.shortmess = "aoOtTIcF"\n{HELPERS}\n{setup}\n'
        )
        self._process = subprocess.Popen(
            [program.path, "--embed", "--headless", "-n", "-i", "NONE", "-u", init],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **folders, "XDG_RUNTIME_DIR": str(home)},
            bufsize=0,
        )
        self._num_requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call("nvim_input", "<Esc>")
            self._send("nvim_command", "qall!")
            self._process.wait(5)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _send(self, method: str, *arguments: object) -> None:
        self._num_requests += 1
        message = [0, self._num_requests, method, list(arguments)]
        self._process.stdin.write(msgspec.msgpack.encode(message))

    def call(self, method: str, *arguments: object) -> Any:
        """Call the editor and wait for the answer: nothing else comes over this pipe meanwhile."""
        self._send(method, *arguments)
        received = b""
        while True:
            ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_SECONDS)
            assert ready, f"Neovim does not answer {method}"
            piece = self._process.stdout.read(1 << 16)
            assert piece, "Neovim has ended"
            received += piece
            try:
                _, _, error, result = msgspec.msgpack.decode(received)
            except msgspec.DecodeError:
                continue  # there is more to come
            assert error is None, error
            return result

    def lua(self, code: str, *arguments: object) -> Any:
        return self.call("nvim_exec_lua", code, list(arguments))

    def command(self, line: str) -> None:
        self.call("nvim_command", line)

    def keys(self, keys: str) -> None:
        """Type, as a keyboard does: nobody waits for what comes of it."""
        self.call("nvim_input", keys)

    def eventually(self, code: str, fits: Callable[[Any], object] = bool) -> Any:
        """Return what `return CODE` returns once it fits."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            result = self.lua(f"return {code}")
            if fits(result):
                return result
            assert time.monotonic() < deadline, f"{code} stays {result!r}; {self.state()}"
            time.sleep(0.01)

    def state(self) -> Any:
        return self.lua("return { text(), ghost() or '', vim.api.nvim_get_mode().mode, notices }")

    def edit(self, path: Path, text: str) -> None:
        """Open a file with this text alone, and leave the cursor at its end."""
        path.write_text(text, newline="")
        self.keys("<Esc>")
        self.eventually("vim.api.nvim_get_mode().mode", lambda mode: mode == "n")
        self.command(f"silent! %bwipeout! | edit {path}")
        self.command("normal! G$")
        self.eventually(ATTACHED)

    def ghost(self) -> str:
        """Wait for ghost text and return it."""
        return self.eventually("ghost()")

    def text(self) -> str:
        return self.lua("return text()")


ATTACHED = "vim.lsp.buf_is_attached(0, (require('inkling.client').get() or { id = -1 }).id)"

_FOLDERS: Sequence[str] = ("CONFIG", "DATA", "STATE", "CACHE")
