"""Tools from npm, and what they build of a client, kept in the user's cache.

No package runs a script when it is installed.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import platformdirs

from tests.editors.debian import UnavailableError

CACHE: Final = Path(platformdirs.user_cache_dir("inkling-tests"))
QUIET: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
LIMIT_SECONDS: Final = 300


def install(folder: Path, *arguments: str) -> None:
    """Run npm's `ci` or `install`. Raises UnavailableError where packages cannot be had."""
    done = _run(folder, *arguments, *QUIET)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["npm failed"]
        raise UnavailableError(f"npm {arguments[0]}: {last[0]}")


def run_script(folder: Path, name: str) -> None:
    """Run a script of package.json; what it says is the message where it fails."""
    done = _run(folder, "run", name)
    assert done.returncode == 0, done.stdout + done.stderr


def built(source: Path, folder: Path) -> Path:
    """Make `folder` a copy of a client's `source`, with its tools and what they build of it.

    Raises UnavailableError where the tools, which its lock file names, cannot be had.
    """
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=_left_out)
    lock = (source / "package-lock.json").read_text("utf-8")
    installed = folder / "node_modules" / "installed-by-tests"
    if not installed.is_file() or installed.read_text("utf-8") != lock:
        install(folder, "ci")
        installed.write_text(lock, "utf-8")
    run_script(folder, "build")
    return folder


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("npm") is None:
        raise UnavailableError("npm is not installed")
    return subprocess.run(
        ("npm", *arguments),
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_SECONDS,
        env={**os.environ, "NO_COLOR": "1"},
    )


def _left_out(_folder: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in {"node_modules", "dist"}]
