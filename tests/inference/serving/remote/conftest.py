"""Endpoints, and folders of the user's that are empty."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from inference.serving.remote.endpoint import Layout, RemoteOptions
from inference.serving.remote.engine import RemoteEngine
from tests.support.fake_endpoint import FakeEndpoint

LAYOUT = Layout(
    name="plain",
    order="psm",
    prefix="<P>",
    suffix="<S>",
    middle="<M>",
    ends=("<E>",),
    models=("a-model",),
)

Opening = Callable[..., Awaitable[RemoteEngine]]


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where this user's data lie."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "inkling" / "remote"


@pytest.fixture
async def endpoint() -> AsyncGenerator[FakeEndpoint]:
    """One that honours `suffix`, until a test makes it another."""
    endpoint = await FakeEndpoint("openai").start()
    yield endpoint
    await endpoint.stop()


@pytest.fixture
async def connect() -> AsyncGenerator[Opening]:
    """What opens an engine for an endpoint and waits until that has settled."""
    opened = list[RemoteEngine]()

    async def connect(endpoint: FakeEndpoint, **options: object) -> RemoteEngine:
        options = {"layouts": (LAYOUT,), **options}
        engine = RemoteEngine(RemoteOptions(url=endpoint.url, **options))
        opened.append(engine)
        await engine.wait_ready()
        return engine

    yield connect
    for engine in opened:
        await engine.close()
