"""Typed into real VS Code, answered by `inkling lsp` with the model that ships."""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from typing import NamedTuple

import psutil
import pytest

from tests.editors.vscode.editor import Editor, Installation, eventually

pytestmark = [pytest.mark.editor, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "inkling"]
BEFORE = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n"
AFTER = "\n    def norm(self):\n        return (self.x**2 + self.y**2) ** 0.5\n"
names = itertools.count(1)


class Begun(NamedTuple):
    """What was typed into a line of its own, and the ghost text that came of it."""

    typed: str
    ghost: str


@pytest.fixture(scope="module")
def window(installation: Installation) -> Iterator[Editor]:
    installation.configure({"inkling.command": COMMAND})
    with installation.window(installation.home / "project") as editor:
        eventually(editor.status, lambda status: status == "Inkling (small model)")
        yield editor


def begin(window: Editor, wanted: str = "ra") -> Begun:
    """Type into a new line of a file and wait for what comes.

    Each time another name stands there: what was rejected once is not shown again.
    """
    number = next(names)
    typed = f"        for item{number} in {wanted}"
    window.open(f"point{number}.py", BEFORE + "\n" + AFTER, line=4)
    window.type(typed)
    return Begun(typed, window.ghost())


def document(window: Editor) -> str:
    return "\n".join(window.lines())


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("Tab", id="all", marks=pytest.mark.shows("accept all")),
        pytest.param("Control+ArrowRight", id="word", marks=pytest.mark.shows("accept word")),
        pytest.param("Control+Alt+ArrowRight", id="line", marks=pytest.mark.shows("accept line")),
    ],
)
@pytest.mark.shows("ghost text")
def test_accepting_inserts_what_is_shown(window: Editor, key: str) -> None:
    typed, ghost = begin(window)
    window.press(key)
    eventually(window.lines, lambda lines: lines[3] != typed)
    print(repr(ghost), window.lines(), repr(window.ghost_now()))
