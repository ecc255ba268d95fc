"""Engines to measure whose answers are known: the real LocalEngine on a scripted model."""

import contextlib
from collections.abc import AsyncGenerator

from inference.engine import EngineState
from inference.serving.local import LocalEngine
from tests.support.scripted_model import ScriptedModel, loaded, playing

CONTEXT_LENGTH = 2048


@contextlib.asynccontextmanager
async def engine_that_writes(text: str) -> AsyncGenerator[LocalEngine]:
    """Yield an engine that writes `text` into every hole."""
    model = ScriptedModel(playing(text), context_length=CONTEXT_LENGTH)
    engine = LocalEngine(lambda: loaded(model))
    try:
        status = await engine.wait_ready()
        assert status.state is EngineState.READY
        yield engine
    finally:
        await engine.close()
