"""Build the playground's page with the tools that its lock file names, kept in the user's cache."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import platformdirs

from tests.editors.debian import UnavailableError
from tests.support.raw_client import ROOT

SOURCE: Final = ROOT / "editors" / "playground"
CACHE: Final = Path(platformdirs.user_cache_dir("inkling-tests")) / "playground"
QUIET: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
LIMIT_SECONDS: Final = 300


def built_page() -> Path:
    """Return the folder that `inkling playground` serves here, built anew.

    Raises UnavailableError where the tools cannot be had.
    """
    if shutil.which("npm") is None:
        raise UnavailableError("npm is not installed")
    shutil.copytree(SOURCE, CACHE, dirs_exist_ok=True, ignore=_left_out)
    lock = (SOURCE / "package-lock.json").read_text("utf-8")
    installed = CACHE / "node_modules" / "installed-by-tests"
    if not installed.is_file() or installed.read_text("utf-8") != lock:
        done = npm("ci", *QUIET)
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["npm failed"]
            raise UnavailableError(f"npm ci: {last[0]}")
        installed.write_text(lock, "utf-8")
    done = npm("run", "build")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(SOURCE / "dist", ignore_errors=True)
    shutil.copytree(CACHE / "dist", SOURCE / "dist")
    return SOURCE / "dist"


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run npm where the tools are."""
    return subprocess.run(
        ("npm", *arguments),
        check=False,
        cwd=CACHE,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_SECONDS,
    )


def _left_out(_folder: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in {"node_modules", "dist"}]
