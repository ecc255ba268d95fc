"""The recipe for Vim with ALE, in a real Vim."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.editors.features import Identity
from tests.editors.recipes.conftest import RECIPES
from tests.editors.recipes.test_helix import ADD, POINT, saved
from tests.editors.tmux import Screen

pytestmark = [pytest.mark.editor, pytest.mark.slow]


@pytest.fixture(scope="module")
def vim() -> str:
    program = shutil.which("vim.nox") or shutil.which("vim")
    if program is None or not list(Path("/usr/share/vim").glob("vimfiles/pack/*/opt/ale")):
        pytest.skip("Vim or ALE is not installed")
    return program


@pytest.fixture
def identity(vim: str) -> Identity:
    done = subprocess.run([vim, "--version"], check=True, capture_output=True, text=True)
    return Identity("Vim with ALE", re.search(r"Vi IMproved ([\d.]+)", done.stdout)[1])


def start(vim: str, environment: dict[str, str], text: str) -> tuple[Screen, Path]:
    file = Path(environment["HOME"]) / "typed.py"
    file.write_text(text)
    vimrc = file.with_name("vimrc")
    vimrc.write_text(
        f"set nocompatible nomore noswapfile\nfiletype plugin on\nsource {RECIPES / 'ale.vim'}\n"
    )
    screen = Screen([vim, "-u", vimrc, "-i", "NONE", file], environment, file.parent)
    screen.shows("typed.py")
    return screen, file


@pytest.mark.shows("completion")
def test_completion(vim: str, environment: dict[str, str]) -> None:
    screen, file = start(vim, environment, POINT)
    with screen:
        screen.type("G", "o", "for item in ra")
        screen.shows(r"for item in ra\w+", "C-x", "C-o")
        screen.type("Escape", ":w", "Enter")
        saved(file, r"(?s).*for item in ra\w+.*")


@pytest.mark.shows("code action")
def test_code_actions_one_after_another(vim: str, environment: dict[str, str]) -> None:
    screen, file = start(vim, environment, ADD + "\n\n" + ADD.replace("add", "plus"))
    with screen:
        for line, name in ((1, "add"), (5, "plus")):
            screen.type(f"{line}G", "w")
            asking = (":ALECodeAction", "Enter")
            number = screen.shows(r"(\d+)\) Add type annotations", *asking)[1]
            screen.type(number, "Enter")
            screen.shows(rf"def {name}\(first: ")
            screen.type("Enter", ":w", "Enter")
            saved(file, rf"(?s).*def {name}\(first: .*")
