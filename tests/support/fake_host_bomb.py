"""The real engine host with a tokenizer that does not come to an end on some texts.

    python -m tests.support.fake_host_bomb

It stands for a bomb that nobody thought of: it is not one that the check would let through.
"""

import itertools
import os
import sys
from pathlib import Path

from msgspec.structs import replace
from tokenizers import normalizers

from inference.engine import Engine
from inference.runtime.tokenizer import Tokenizer
from inference.serving.host import run
from inference.serving.local import LocalEngine
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.scripted_model import ScriptedModel, loaded, playing

COMMAND = (sys.executable, "-m", "tests.support.fake_host_bomb")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
TEXT = "ready"
FUSE = "BOOM"


def open_engine() -> Engine:
    tokenizer = byte_tokenizer()
    letters = "abcdefgh"
    steps = [normalizers.Replace(FUSE, letters[0] * 100)]
    steps += [
        normalizers.Replace(before, after * 100) for before, after in itertools.pairwise(letters)
    ]
    tokenizer.normalizer = normalizers.Sequence(steps)
    model = loaded(ScriptedModel(playing(TEXT)))
    return LocalEngine(lambda: replace(model, tokenizer=Tokenizer(tokenizer.to_str().encode())))


if __name__ == "__main__":
    run(open_engine, parent=os.getppid())
