"""The checkpoint of the model that ships, as everyone reads checkpoints."""

import functools
import tempfile
from pathlib import Path
from typing import Final

from training.model.packed import unpack

ROOT: Final = Path(__file__).parents[2]
PACKED: Final = ROOT / "training" / "checkpoints" / "base"
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="inkling-tests-")


@functools.cache
def shipped_checkpoint() -> Path:
    """Unpack it, once for a process, into a folder that goes when the process ends."""
    folder = Path(_FOLDER.name) / "base"
    unpack(PACKED, folder)
    return folder
