"""From a key to ghost text on the screen, in the editors of this machine."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.editors import keystrokes
from tests.editors.answers import Answers
from tests.editors.debian import UnavailableError
from tests.editors.emacs.editor import find as find_emacs
from tests.editors.neovim.editor import find as find_neovim
from tests.editors.terminal import Terminal

pytestmark = [pytest.mark.editor, pytest.mark.slow]

PAUSE_MS = 50
"""What both clients wait for before they ask."""


@pytest.mark.parametrize(
    ("start", "find"),
    [
        pytest.param(keystrokes.emacs, find_emacs, id="Emacs"),
        pytest.param(keystrokes.neovim, find_neovim, id="Neovim"),
    ],
)
def test_a_key_is_followed_by_ghost_text(
    start: Callable[..., AbstractContextManager[Terminal]],
    find: Callable[[str], object],
    tmp_path: Path,
) -> None:
    try:
        program = find("system")
    except UnavailableError as error:
        pytest.skip(str(error))
    answers = Answers(tmp_path)
    answers.answer("ghost")
    with start(program, tmp_path, answers.command, "value") as terminal:
        times = [terminal.milliseconds_to_ghost(b"x") for _ in range(3)]
    assert min(times) >= PAUSE_MS
    asked = answers.has_heard("textDocument/inlineCompletion")
    assert [one["position"]["character"] for one in asked[-3:]] == [6, 7, 8]
