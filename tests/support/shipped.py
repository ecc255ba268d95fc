"""The checkpoint of the model that ships, as everyone reads checkpoints."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Final

from training.model.packed import unpack

ROOT: Final = Path(__file__).parents[2]
PACKED: Final = ROOT / "training" / "checkpoints" / "base"


@functools.cache
def shipped_checkpoint() -> Path:
    """Unpack it, once for a process, into a folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="inkling-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    unpack(PACKED, folder / "base")
    return folder / "base"
