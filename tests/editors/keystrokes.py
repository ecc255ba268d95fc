"""How long somebody at a keyboard waits for ghost text: from the key to what the terminal paints.

    with keystrokes.neovim(find("0.10"), home, command, "value = \n") as terminal:
        terminal.type(b"x")
        milliseconds = terminal.milliseconds_to_ghost(b"y")

`command` is the server, such as [python, "-m", "inkling"], or `Answers(folder).command` for one
that answers at once.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.editors.emacs.editor import PAINTED, Emacs, lisp_list
from tests.editors.emacs.editor import Program as EmacsProgram
from tests.editors.neovim.editor import ATTACHED, PLUGIN
from tests.editors.neovim.editor import Program as NeovimProgram
from tests.editors.terminal import GHOST_COLOUR, Terminal
from tests.support.raw_client import PATIENCE_SECONDS, ROOT


@contextmanager
def emacs(
    program: EmacsProgram, home: Path, command: Sequence[str], text: str = ""
) -> Iterator[Terminal]:
    """Yield a terminal with the cursor at the end of a Python file that the server knows."""
    setup = f"(setq inkling-command {lisp_list(command)})\n(require 'inkling)\n{PAINTED}\n"
    with Emacs(program, home, setup + "(inkling-global-mode)") as editor:
        editor.edit(home / "typed.py", text)
        editor.terminal.wait_until_still()
        yield editor.terminal


@contextmanager
def neovim(
    program: NeovimProgram, home: Path, command: Sequence[str], text: str = ""
) -> Iterator[Terminal]:
    """Yield a terminal in insert mode at the end of a Python file that the server knows."""
    words = ", ".join(f'"{word}"' for word in command)
    init, file = home / "init.lua", home / "typed.py"
    init.write_text(
        f'vim.opt.runtimepath:prepend("{PLUGIN}")\nvim.o.termguicolors = false\n'
        f'require("inkling").setup({{ command = {{ {words} }} }})\n'
        f'vim.cmd("highlight InklingGhost ctermfg={GHOST_COLOUR}")\n'
    )
    file.write_text(text)
    folders = {f"XDG_{name}_HOME": str(home) for name in ("CONFIG", "DATA", "STATE", "CACHE")}
    with tempfile.TemporaryDirectory(prefix="nvim-") as sockets:
        socket = f"{sockets}/s"
        arguments = ["-n", "-i", "NONE", "-u", init, "--listen", socket, "+normal G$", file]
        environment = {**folders, "PYTHONPATH": str(ROOT)}
        with Terminal([program.path, *arguments], environment, home) as terminal:
            _wait_until_attached(program.path, socket)
            terminal.type(b"A")
            terminal.wait_until_still()
            yield terminal


def _wait_until_attached(program: Path, socket: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    attached = f'luaeval("{ATTACHED}")'
    while True:
        done = subprocess.run(
            [program, "--server", socket, "--remote-expr", attached],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ,
        )
        if "true" in done.stdout + done.stderr:
            return
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.05)


if __name__ == "__main__":  # what the editors themselves cost, for a look
    from tests.editors.answers import Answers
    from tests.editors.emacs.editor import find as find_emacs
    from tests.editors.neovim.editor import find as find_neovim

    for name, start, find in (("Neovim", neovim, find_neovim), ("Emacs", emacs, find_emacs)):
        with tempfile.TemporaryDirectory() as folder:
            answers = Answers(Path(folder))
            answers.answer("ghost")
            with start(find("system"), Path(folder), answers.command) as terminal:
                terminal.type(b"value")
                times = [terminal.milliseconds_to_ghost(b"x") for _ in range(20)]
                sys.stdout.write(f"{name}: {sorted(round(one) for one in times)}\n")
