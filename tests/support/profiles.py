"""The `initialize` parameters that eight clients sent, recorded from the clients themselves.

Only the process id is replaced by our own: the recorded one has gone, or is another process.
"""

import json
import os
from pathlib import Path
from typing import Any

from lsprotocol import types
from lsprotocol.converters import get_converter

_FOLDER = Path(__file__).parents[1] / "data" / "client_profiles"

PROFILES = sorted(path.stem for path in _FOLDER.glob("*.json"))


def recorded_params(name: str) -> dict[str, Any]:
    params = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    return {**params, "processId": os.getpid()}


def initialize_params(name: str) -> types.InitializeParams:
    return get_converter().structure(recorded_params(name), types.InitializeParams)
