"""From a key to ghost text on the screen: `python -m benchmarks.editors [--model NAME]`.

Typed into real editors (tests/editors says how each is had), with three servers behind them: one
that answers at once, so that what is left is the editor's own, Inkling with the model that ships,
and Inkling with another model if one is named. A key is pressed right behind others, as in typing;
the time ends when the editor has painted ghost text. The last line is one JSON object.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import click
from rich.progress import track

from benchmarks.report import print_json, print_report, summary
from inference.package.store import embedded_folder, find_model
from tests.editors import keystrokes
from tests.editors.answers import Answers
from tests.editors.debian import UnavailableError
from tests.editors.emacs.editor import find as find_emacs
from tests.editors.neovim.editor import find as find_neovim
from tests.editors.terminal import Terminal
from tests.editors.vscode.editor import Installation
from tests.editors.vscode.fetch import built_extension, vscode

INKLING: Final = (sys.executable, "-m", "inkling")
AT_ONCE: Final = "answers at once"
BEGINNING: Final = (
    "def total(rows):\n    result = 0\n    for row in range(10):\n        result += row\n"
    "    return result\n\n\n"
)


class Keyboard(Protocol):
    def type(self, text: str) -> None: ...

    def milliseconds_to_ghost(self, key: str) -> float:
        """Press a key; return how long it took until ghost text was painted."""
        ...


class TerminalKeyboard:
    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def type(self, text: str) -> None:
        self._terminal.type(text.replace("\n", "\r").encode())

    def milliseconds_to_ghost(self, key: str) -> float:
        return self._terminal.milliseconds_to_ghost(key.encode())


@contextmanager
def neovim(home: Path, command: Sequence[str]) -> Generator[Keyboard]:
    with keystrokes.neovim(find_neovim("0.10"), home, command, BEGINNING) as terminal:
        yield TerminalKeyboard(terminal)


@contextmanager
def emacs(home: Path, command: Sequence[str]) -> Generator[Keyboard]:
    with keystrokes.emacs(find_emacs("30.1"), home, command, BEGINNING) as terminal:
        yield TerminalKeyboard(terminal)


@contextmanager
def visual_studio_code(home: Path, command: Sequence[str]) -> Generator[Keyboard]:
    extension = built_extension() / "dist" / "inkling.vsix"
    with Installation(vscode(), extension, home, {}) as installation:
        installation.configure({"inkling.command": list(command)})
        with installation.window(home / "project") as editor:
            editor.open("typed.py", BEGINNING, line=BEGINNING.count("\n") + 1)
            editor.type("for item in range(")
            editor.wake()
            editor.type("3):\npass\n")
            yield editor


Start = Callable[[Path, Sequence[str]], Iterator[Keyboard]]

EDITORS: Final = {"Neovim": neovim, "Emacs": emacs, "VS Code": visual_studio_code}


@click.command()
@click.option("--model", help="A model beside the one that ships, by name or folder.")
@click.option("--keys", default=30, show_default=True, type=click.IntRange(5))
@click.option("--editor", "names", multiple=True, type=click.Choice(list(EDITORS)))
def main(model: str | None, keys: int, names: Sequence[str]) -> None:
    """Measure what the editors cost, and what Inkling does."""
    models = {"inkling-base": embedded_folder()}
    if model is not None:
        models[model] = find_model(model).folder
    figures = dict[str, dict[str, float]]()
    for name in names or EDITORS:
        for server in (AT_ONCE, *models):
            try:
                figures[f"{name}, {server}"] = summary(_felt(name, server, models, keys))
            except UnavailableError as error:
                click.echo(f"{name}: {error}", err=True)
    columns = ("median ms", "max ms", "spread", "count")
    cells = ("median", "max", "spread", "count")
    rows = {name: [f"{figure[cell]:.0f}" for cell in cells] for name, figure in figures.items()}
    print_report("from a key to ghost text", columns, rows)
    print_json("editors", {"keys": keys, "milliseconds": figures})


def _felt(name: str, server: str, models: dict[str, Path], keys: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="inkling-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        command: Sequence[str] = INKLING
        if server == AT_ONCE:
            answers = Answers(home)
            answers.answer("10")
            command = answers.command
        else:
            os.environ["INKLING_MODEL"] = str(models[server])
        with EDITORS[name](home, command) as keyboard:
            numbers = range(keys + 2)
            felt = [
                _line(keyboard, number)
                for number in track(numbers, description=f"{name}, {server}")
            ]
        return felt[2:]  # the first ones read the file


def _line(keyboard: Keyboard, number: int) -> float:
    """Type a loop; each has another name, since what was not taken is not shown again.

    The key ends no word: VS Code would want the word again in what it is answered.
    """
    keyboard.type(f"for item{number} in range")
    milliseconds = keyboard.milliseconds_to_ghost("(")
    keyboard.type("3):\npass\n")
    return milliseconds


if __name__ == "__main__":
    main()
