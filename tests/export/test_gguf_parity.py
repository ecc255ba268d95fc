"""Against llama.cpp: one GGUF file, read by both, and the same tokens written.

Needs xllamacpp: `make parity`.
"""

from pathlib import Path

import pytest

from export.pipeline import export_checkpoint
from inference.runtime.onnx import OnnxModel
from tests.support.exported import TOKEN_IDS, greedy_tokens, no_progress, tiny_options
from tests.support.gguf_files import write_gguf_file
from tests.support.gguf_models import GGUF_MODELS
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint

NUM_TOKENS = 32
ENDS = range(7)
"""All special tokens: llama.cpp also ends at those that separate files."""

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("model", GGUF_MODELS, ids=lambda model: model.name)
def test_llama_cpp_writes_the_same_tokens(model: TinyModel, tmp_path: Path) -> None:
    from tests.support.llama_cpp import LlamaCpp  # what it imports, `make test` lacks

    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", model)
    path = write_gguf_file(tmp_path / "model.gguf", checkpoint)
    options = tiny_options(precision="f32")
    manifest = export_checkpoint(str(path), tmp_path / "package", options, progress=no_progress)
    loaded = OnnxModel.load(tmp_path / "package", manifest)
    llama = LlamaCpp(path, context_length=128, num_threads=1)
    num_compared = 0
    for start in range(0, len(TOKEN_IDS), 3):  # several, since llama.cpp stops at an end
        prompt = TOKEN_IDS[start:]
        found = llama.greedy_tokens(prompt, NUM_TOKENS)
        expected = greedy_tokens(loaded, prompt, NUM_TOKENS)
        assert found == expected[: len(found)]
        assert len(found) == NUM_TOKENS or expected[len(found) - 1] in ENDS
        num_compared += len(found)
    assert num_compared > 3 * NUM_TOKENS
