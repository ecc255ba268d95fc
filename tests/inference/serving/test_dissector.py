"""A look is computed in another process, which may die and is started again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from inference import CompletionRequest, Dissector, EngineUnavailableError, ModelNotFoundError

pytestmark = pytest.mark.slow

REQUEST = CompletionRequest(document="a", language="python", prefix="def f(x):\n    return ")


def workers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


@pytest.fixture
async def dissector() -> AsyncIterator[Dissector]:
    """Its process is gone when the test has ended."""
    before = {process.pid for process in workers()}
    dissector = Dissector()
    yield dissector
    dissector.close()
    async with asyncio.timeout(10):
        while {process.pid for process in workers()} - before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_process_that_died_costs_one_look(dissector: Dissector) -> None:
    before = {process.pid for process in workers()}
    found = await dissector.dissect("embedded", REQUEST, "x + 1")
    assert "".join(token.text for token in found.tokens).endswith("x + 1")
    (worker,) = [process for process in workers() if process.pid not in before]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(EngineUnavailableError):
        await dissector.dissect("embedded", REQUEST, "x + 1")
    again = await dissector.dissect("embedded", REQUEST, "x + 1")
    assert again.tokens == found.tokens


async def test_a_model_that_is_not_there_is_an_error_of_ours(dissector: Dissector) -> None:
    with pytest.raises(ModelNotFoundError):
        await dissector.dissect("no-such-model", REQUEST, "x")
