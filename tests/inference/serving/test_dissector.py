"""A look is computed in another process, which may die and is started again."""

import asyncio
import os
import signal

import psutil
import pytest

from inference import CompletionRequest, Dissector, EngineUnavailableError, ModelNotFoundError

REQUEST = CompletionRequest(document="a", language="python", prefix="def f(x):\n    return ")


def workers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
async def test_a_process_that_died_costs_one_look() -> None:
    dissector = Dissector()
    before = {process.pid for process in workers()}
    found = await dissector.dissect("embedded", REQUEST, "x + 1")
    assert "".join(token.text for token in found.tokens).endswith("x + 1")
    (worker,) = [process for process in workers() if process.pid not in before]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(EngineUnavailableError):
        await dissector.dissect("embedded", REQUEST, "x + 1")
    again = await dissector.dissect("embedded", REQUEST, "x + 1")
    assert again.tokens == found.tokens
    dissector.close()
    async with asyncio.timeout(10):
        while [process for process in workers() if process.pid not in before]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_model_that_is_not_there_is_an_error_of_ours() -> None:
    dissector = Dissector()
    with pytest.raises(ModelNotFoundError):
        await dissector.dissect("no-such-model", REQUEST, "x")
    dissector.close()
