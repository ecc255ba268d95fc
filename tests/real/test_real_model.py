"""A real model in one command: added from where it can be had, and put to work.

It is fetched once and kept in the user's cache; where no source answers, the reason is told.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from evaluation.fill import DEADLINE_MS
from evaluation.humaneval import read_problems
from export.catalogue.install import add_model
from export.errors import CheckpointError
from export.package.manifest import EXPORTER_VERSION
from export.quality.holes import NUM_TAIL_TOKENS
from inference.chat import Message
from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
    Scope,
)
from inference.engine import EngineState
from inference.package.manifest import ModelManifest, read_manifest, verify_files
from inference.package.store import choose, installed_folder
from inference.serving.backends import EngineOptions, open_engine
from inference.serving.local import LocalEngine
from tests.support.raw_client import INKLING_LSP, RawClient, inline_params

pytestmark = [pytest.mark.real_model, pytest.mark.slow]

NAME = "qwen2.5-coder-0.5b"
KEPT = Path(platformdirs.user_cache_dir("inkling", appauthor=False)) / f"tests-{EXPORTER_VERSION}"
PROBLEMS = Path(__file__).parents[1] / "data" / "humaneval_infilling"
LOADING_S = 120


@pytest.fixture(scope="module", autouse=True)
def _installed() -> Iterator[None]:
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(KEPT)
    try:
        if installed_folder(NAME) is None:
            try:
                add_model(NAME, report=lambda *_: None)
            except CheckpointError as error:
                pytest.skip(f"no source answers: {error}")
        choose(NAME)
        yield
    finally:
        os.environ["XDG_DATA_HOME"] = before or ""


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    folder = installed_folder(NAME)
    assert folder is not None
    found = read_manifest(folder)
    verify_files(found, folder)
    return found


async def complete(prefix: str, suffix: str = "", scope: Scope = "auto") -> Completion:
    engine = LocalEngine.open(NAME)
    try:
        assert (await engine.wait_ready()).state is EngineState.READY
        request = CompletionRequest(
            document="a.py",
            prefix=prefix,
            suffix=suffix,
            language="python",
            scope=scope,
            deadline_ms=DEADLINE_MS,
        )
        return await engine.complete(request)
    finally:
        await engine.close()


async def check(prefix: str, *, writes: str, suffix: str = "", scope: Scope = "auto") -> None:
    assert (await complete(prefix, suffix, scope)).text == writes


async def test_it_reverses_a_string() -> None:
    await check(
        'def reverse_string(text: str) -> str:\n    """Return the text reversed."""\n    ',
        writes="return text[::-1]",
        suffix="\n\n\nprint(reverse_string('abc'))\n",
    )


async def test_it_fills_the_middle_of_a_line() -> None:
    await check(
        "def area(width, height):\n    return width ",
        writes="* height",
        suffix="  # in square metres\n",
    )


async def test_a_cursor_on_a_new_line_behind_a_block_is_answered() -> None:
    """With code behind it too: at the end of a file a model may well say that it ends there."""
    await check(
        "def area(width, height):\n    width = float(width)\n",
        writes="    height = float(height)",
        suffix="    return width * height\n",
        scope="line",
    )


def test_its_order_is_the_one_that_was_measured(manifest: ModelManifest) -> None:
    """The prefix's end behind the middle token is what it needs, and all of it gives no more."""
    bits = manifest.quality["fim_bits_per_token"]
    assert manifest.fim is not None
    assert (manifest.fim.order, manifest.fim.num_tail_tokens) == ("psm", NUM_TAIL_TOKENS)
    assert max(bits["spm"], bits["tail"]) < bits["psm"]


def test_it_keeps_most_of_the_next_tokens(manifest: ModelManifest) -> None:
    assert manifest.quality["agreement"] >= 0.85
    assert manifest.quality["perplexity_ratio"] <= 1.1


async def test_it_fills_holes_of_the_public_benchmark() -> None:
    """Exactly as they were: at least a third of thirty, where it has six in ten of them all."""
    path = PROBLEMS / "HumanEval-SingleLineInfilling.jsonl.gz"
    problems = read_problems(path)[::35]
    engine = LocalEngine.open(NAME)
    await engine.wait_ready()
    num_exact = 0
    for problem in problems:
        request = CompletionRequest(
            document=problem.task_id,
            prefix=problem.prompt,
            suffix=problem.suffix,
            language="python",
            scope="line",
            deadline_ms=DEADLINE_MS,
        )
        num_exact += (await engine.complete(request)).text == problem.canonical_solution.rstrip()
    await engine.close()
    assert num_exact >= len(problems) / 3


async def test_the_engine_of_editors_takes_the_chosen_one_and_follows_another() -> None:
    engine = open_engine(EngineOptions())
    async with asyncio.timeout(LOADING_S):
        assert (await engine.wait_ready()).model == NAME
        choose("embedded")
        while engine.status().model == NAME:
            await asyncio.sleep(0.1)
            await engine.wait_ready()
        assert engine.status().num_restarts == 1
    await engine.close()
    choose(NAME)


def test_the_server_completes_with_it_and_says_so() -> None:
    with RawClient(INKLING_LSP, dict(os.environ)) as client:
        client.initialize(initializationOptions={"deadlineMs": 60_000})
        while not client.logged:  # until it is loaded
            client.result("textDocument/inlineCompletion", inline_params(0, 0))
        assert client.logged[0]["params"]["message"] == f"Inkling: {NAME} completes"
        client.open("def double(number):\n    return ")
        items = client.result("textDocument/inlineCompletion", inline_params(1, 11))["items"]
        texts = [item["insertText"] for item in items]
        assert texts[0] == "number * 2"
        assert 1 < len(texts) == len(set(texts))
        assert client.leave() == 0


async def test_it_follows_an_instruction() -> None:
    engine = LocalEngine.open(NAME)
    try:
        assert (await engine.wait_ready()).follows_instructions
        question = Message("user", "What is 2 + 3? Answer with the number alone.")
        request = InstructionRequest(document="a.py", messages=(question,), max_tokens=16)
        completion = await engine.complete(request)
    finally:
        await engine.close()
    assert completion.text.strip(" .") == "5"
    assert completion.finish_reason is FinishReason.END_TOKEN


def test_a_conversation_is_laid_out_as_it_was_taught(manifest: ModelManifest) -> None:
    """The official template's own marks, by the ids of Qwen2.5's tokenizer."""
    assert manifest.chat is not None
    begin, end = 151_644, 151_645  # <|im_start|>, <|im_end|>
    assert manifest.chat.user.before == (begin, "user\n")
    assert manifest.chat.user.behind == (end, "\n")
    assert manifest.chat.assistant.before == (begin, "assistant\n")
