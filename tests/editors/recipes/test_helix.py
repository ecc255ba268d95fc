"""The recipe for Helix, in a real Helix."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.editors import debian
from tests.editors.features import Identity
from tests.editors.recipes.conftest import RECIPES
from tests.editors.tmux import Screen
from tests.support.raw_client import PATIENCE_SECONDS

pytestmark = [pytest.mark.editor, pytest.mark.slow]

POINT = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n"
ADD = "def add(first, second):\n    return first + second\n"


@pytest.fixture(scope="module")
def helix() -> Path:
    try:
        return debian.fetch("trixie", "hx", "usr/lib/hx/hx") / "usr" / "lib" / "hx"
    except debian.UnavailableError as error:
        pytest.skip(f"Helix: {error}")


@pytest.fixture
def identity(helix: Path) -> Identity:
    done = subprocess.run([helix / "hx", "--version"], check=True, capture_output=True, text=True)
    return Identity("Helix", done.stdout.split()[1])


def start(helix: Path, environment: dict[str, str], text: str) -> tuple[Screen, Path]:
    file = Path(environment["HOME"]) / "typed.py"
    file.write_text(text)
    configuration = Path(environment["XDG_CONFIG_HOME"]) / "helix"
    configuration.mkdir(parents=True)
    shutil.copy(RECIPES / "helix.toml", configuration / "languages.toml")
    runtime = {"HELIX_RUNTIME": str(helix / "runtime")}
    screen = Screen([helix / "hx", file], {**environment, **runtime}, file.parent)
    screen.shows("typed.py")
    return screen, file


def saved(file: Path, pattern: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not re.fullmatch(pattern, text := file.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text


@pytest.mark.shows("completion")
def test_completion(helix: Path, environment: dict[str, str]) -> None:
    screen, file = start(helix, environment, POINT)
    with screen:
        screen.type("ge", "o", "for item in ra")
        screen.shows(r"for item in ra[\s\S]*\n.* ra\w+.*", "C-x")
        screen.type("C-n", "Enter", "Escape")
        screen.shows("NOR")
        screen.type(":w", "Enter")
        saved(file, r"(?s).*for item in ra\w+.*")


@pytest.mark.shows("code action")
def test_a_code_action(helix: Path, environment: dict[str, str]) -> None:
    screen, file = start(helix, environment, ADD)
    with screen:
        screen.type("w", "w")
        screen.shows("Add type annotations", "Space", "a")
        above = screen.text().partition("Add type annotations")[0]
        menu = [line for line in above.splitlines() if "this function" in line or "body" in line]
        screen.type(*["Down"] * len(menu), "Enter")
        screen.shows(r"def add\(first: ")
        screen.type(":w", "Enter")
        saved(file, r"(?s)def add\(first: .*, second: .*\).*:\n    return first \+ second\n")
