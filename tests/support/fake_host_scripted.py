"""The real engine host around a scripted model, which writes "ready" into every hole.

    python -m tests.support.fake_host_scripted

It prints on stdout before it serves, as onnxruntime does when a session fails. Behind STUCK its
model computes for ever, and hears nothing.
"""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from inference.serving.host import run
from inference.serving.local import LocalEngine
from tests.support.scripted_model import ScriptedModel, loaded, playing

COMMAND = (sys.executable, "-m", "tests.support.fake_host_scripted")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
TEXT = "ready"
NOISE = "EP Error: falling back"
STUCK = "compute for ever "
"""Its last character is held back, so the model reads the others."""


def open_engine() -> LocalEngine:
    os.write(1, f"{NOISE}\n".encode())
    return LocalEngine(lambda: loaded(ScriptedModel(next_token)))


def next_token(token_ids: Sequence[int]) -> int:
    if bytes(token for token in token_ids if token < 256).endswith(STUCK[:-1].encode()):
        threading.Event().wait()
    return playing(TEXT)(token_ids)


if __name__ == "__main__":
    run(open_engine, parent=os.getppid())
