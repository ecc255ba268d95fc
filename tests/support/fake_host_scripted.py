"""The real engine host around a scripted model, which writes "ready" into every hole.

    python -m tests.support.fake_host_scripted

It prints on stdout before it serves, as onnxruntime does when a session fails.
"""

import os
import sys
from pathlib import Path

from inference.engine import Engine
from inference.serving.host import run
from inference.serving.local import LocalEngine
from tests.support.scripted_model import ScriptedModel, loaded, playing

COMMAND = (sys.executable, "-m", "tests.support.fake_host_scripted")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
TEXT = "ready"
NOISE = "EP Error: falling back"


def open_engine() -> Engine:
    os.write(1, f"{NOISE}\n".encode())
    return LocalEngine(lambda: loaded(ScriptedModel(playing(TEXT))))


if __name__ == "__main__":
    run(open_engine, parent=os.getppid())
