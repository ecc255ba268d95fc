"""A look is computed in another process, which may die and is started again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from inference import CompletionRequest, Dissector, EngineUnavailableError, ModelNotFoundError
from tests.support.processes import children_named

pytestmark = pytest.mark.slow

REQUEST = CompletionRequest(document="a", language="python", prefix="def f(x):\n    return ")


def workers() -> set[int]:
    return {child.pid for child in children_named("spawn_main")}


@pytest.fixture
async def dissector() -> AsyncIterator[Dissector]:
    """Its process is gone when the test has ended."""
    before = workers()
    dissector = Dissector()
    yield dissector
    dissector.close()
    async with asyncio.timeout(10):
        while workers() - before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_process_that_died_costs_one_look(dissector: Dissector) -> None:
    before = workers()
    found = await dissector.dissect("embedded", REQUEST, "x + 1")
    assert "".join(token.text for token in found.tokens).endswith("x + 1")
    (worker,) = workers() - before
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(EngineUnavailableError):
        await dissector.dissect("embedded", REQUEST, "x + 1")
    again = await dissector.dissect("embedded", REQUEST, "x + 1")
    assert again.tokens == found.tokens


async def test_a_model_that_is_not_there_is_an_error_of_ours(dissector: Dissector) -> None:
    with pytest.raises(ModelNotFoundError):
        await dissector.dissect("no-such-model", REQUEST, "x")
