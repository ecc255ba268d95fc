"""Another model for a user who has none: the one that ships under another name."""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from inference.package.manifest import read_manifest, write_manifest
from tests.support.raw_client import ROOT

TWIN: Final = "twin-of-what-ships"


def use_twin(data: Path) -> None:
    """Install the twin in the user's data folder and choose it, as `inkling model use` does."""
    package = data / "inkling" / "models" / TWIN
    shutil.copytree(ROOT / "inference" / "default_model", package)
    manifest = read_manifest(package)
    write_manifest(msgspec.structs.replace(manifest, name=TWIN), package)
    (data / "inkling" / "model").write_text(TWIN + "\n")
