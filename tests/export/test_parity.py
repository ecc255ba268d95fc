"""Against the originals: transformers, run now, equals our graphs and the committed logits.

Needs torch and transformers: `make parity`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from export.options import ExportOptions
from export.package.to_checkpoint import write_checkpoint
from export.pipeline import export_checkpoint
from export.spec.oracle import forward
from inference.package.manifest import TOKENIZER_FILE
from inference.package.store import embedded_folder
from inference.runtime.onnx import OnnxModel
from inference.runtime.tokenizer import Tokenizer
from tests.support.equivalents import write_original
from tests.support.exported import (
    TOKEN_IDS,
    export_tiny,
    greedy_tokens,
    no_progress,
    read_tokens,
    read_values,
)
from tests.support.golden import (
    ALL_MODELS,
    NUM_GREEDY_TOKENS,
    PUBLISHED_MODELS,
    ROWS,
    load_golden,
    load_greedy,
    load_original,
    original_greedy_tokens,
    original_logits,
)
from tests.support.shipped import shipped_checkpoint
from tests.support.tiny_checkpoints import TinyModel

ROOT = Path(__file__).parent.parent.parent
TRANSFORMERS_MODELS = [model for model in ALL_MODELS if model not in PUBLISHED_MODELS]
NUM_PROMPTS = 20
PROMPT_CHARACTERS = 600
LLAMA_ENDS = range(7)
"""All special tokens: llama.cpp also ends at those that separate files."""

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("model", TRANSFORMERS_MODELS, ids=lambda model: model.name)
def test_transformers_equals_the_golden_logits_and_the_f32_graph(
    model: TinyModel, tmp_path: Path
) -> None:
    original = load_original(write_original(tmp_path / "original", model))
    expected = original_logits(original, TOKEN_IDS)
    np.testing.assert_allclose(expected[ROWS], load_golden(model), rtol=0, atol=1e-4)
    assert original_greedy_tokens(original, TOKEN_IDS) == load_greedy(model)
    loaded = export_tiny(tmp_path, model).load()
    found = read_tokens(loaded, loaded.create_cache(), TOKEN_IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_the_trained_model_writes_the_same_tokens(tmp_path: Path) -> None:
    package = tmp_path / "package"
    options = ExportOptions(precision="f32")
    manifest = export_checkpoint(str(shipped_checkpoint()), package, options, progress=no_progress)
    model = OnnxModel.load(package, manifest)
    tokenizer = Tokenizer.load(package / TOKENIZER_FILE)
    original = load_original(shipped_checkpoint())
    prompts = [tokenizer.encode(text) for text in prompt_texts()]
    assert len(prompts) == NUM_PROMPTS
    for prompt in prompts:
        assert greedy_tokens(model, prompt) == original_greedy_tokens(original, prompt)


@pytest.mark.slow
def test_llama_cpp_writes_the_same_tokens(tmp_path: Path) -> None:
    """The shipped checkpoint, and the weights that are served of it, rounded and given back."""
    from tests.support.llama_cpp import LlamaCpp, write_gguf  # what it imports, `make test` lacks

    write_checkpoint(embedded_folder(), tmp_path / "back")
    for checkpoint in (shipped_checkpoint(), tmp_path / "back"):
        original = load_original(checkpoint)
        tokenizer = Tokenizer.load(checkpoint / TOKENIZER_FILE)
        gguf = tmp_path / f"{checkpoint.name}.gguf"
        write_gguf(gguf, *read_values(checkpoint), checkpoint / TOKENIZER_FILE)
        llama = LlamaCpp(gguf, context_length=1024, num_threads=1)
        num_compared = 0
        for text in prompt_texts():
            prompt = tokenizer.encode(text)
            expected = original_greedy_tokens(original, prompt)
            found = llama.greedy_tokens(prompt, len(expected))
            assert found == expected[: len(found)]
            assert len(found) == len(expected) or found[-1] in LLAMA_ENDS
            num_compared += len(found)
        # Each was compared to its end; some end early, and how many depends on our own source.
        assert num_compared > 0.5 * NUM_PROMPTS * NUM_GREEDY_TOKENS


@pytest.mark.slow
def test_the_weights_that_ship_are_the_same_model_in_transformers(tmp_path: Path) -> None:
    """What the package serves, rounded, comes back as a checkpoint that others load."""
    write_checkpoint(embedded_folder(), tmp_path / "back")
    original = load_original(tmp_path / "back")
    spec, weights = read_values(tmp_path / "back")
    weights = dict(weights)  # each is read once, not at every step
    tokenizer = Tokenizer.load(tmp_path / "back" / TOKENIZER_FILE)
    for text in list(prompt_texts())[:3]:
        token_ids = tokenizer.encode(text)[-48:]
        written = original_greedy_tokens(original, token_ids)
        ours = forward(spec, weights, [*token_ids, *written[:-1]])[len(token_ids) - 1 :]
        assert ours.argmax(axis=-1).tolist() == written


def prompt_texts() -> Iterator[str]:
    """Cut our own source files off somewhere in the middle, also inside lines and words."""
    files = sorted([*(ROOT / "inference").rglob("*.py"), *(ROOT / "lsp_server").rglob("*.py")])
    long_files = [path for path in files if path.stat().st_size > 2 * PROMPT_CHARACTERS]
    for index, path in enumerate(long_files[:NUM_PROMPTS]):
        end = PROMPT_CHARACTERS + 17 * index
        yield path.read_text(encoding="utf-8")[end - PROMPT_CHARACTERS : end]
