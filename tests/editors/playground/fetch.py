"""Build the playground's page with the tools that its lock file names, kept in the user's cache."""

import shutil
from pathlib import Path
from typing import Final

from tests.editors.npm import CACHE, built
from tests.support.raw_client import ROOT

SOURCE: Final = ROOT / "editors" / "playground"
FOLDER: Final = CACHE / "playground"


def built_page() -> Path:
    """Return the folder that `inkling playground` serves here, built anew.

    Raises UnavailableError where the tools cannot be had.
    """
    built(SOURCE, FOLDER)
    shutil.rmtree(SOURCE / "dist", ignore_errors=True)
    shutil.copytree(FOLDER / "dist", SOURCE / "dist")
    return SOURCE / "dist"
