"""Each recipe is run as it is written, in its editor, with the model that ships."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.raw_client import ROOT

RECIPES = ROOT / "editors" / "recipes"


@pytest.fixture(autouse=True)
def _a_terminal() -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user's, whose `inkling` is on PATH and who has no model of their own."""
    program = tmp_path / "bin" / "inkling"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m inkling "$@"\n')
    program.chmod(0o755)
    folders = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "DATA", "STATE")}
    path = f"{program.parent}:/usr/local/bin:/usr/bin:/bin"
    return {**folders, "HOME": str(tmp_path), "PATH": path, "LANG": "C.UTF-8"}
