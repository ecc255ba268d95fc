"""The Engine protocol: what every engine keeps, whatever stands behind it."""

import asyncio
import functools
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.decoding.loaded import LoadedModel
from inference.engine import Engine, EngineState
from inference.errors import InvalidRequestError
from inference.package.manifest import TOKENIZER_FILE
from inference.package.store import embedded_folder
from inference.serving.backends import EngineOptions, open_engine
from inference.serving.local import LocalEngine
from inference.serving.remote.endpoint import Layout, RemoteOptions
from inference.serving.remote.engine import RemoteEngine
from inference.serving.remote.fallback import FallbackEngine
from inference.serving.supervised import SupervisedEngine
from team.app import create_app
from team.settings import ServiceSettings
from tests.support import fake_host, fake_host_scripted
from tests.support.fake_endpoint import KINDS, FakeEndpoint, Kind
from tests.support.scripted_model import ScriptedModel, loaded, playing

if TYPE_CHECKING:
    from tests.support.llama_cpp import LlamaCpp

TIMEOUT_S = 30.0


PREFIX = "class A:\n    def __init__(self, name):\n        self.name = "
"""The model that ships has an answer to this one."""

LOADING_S = 0.2


def local() -> Engine:
    def load() -> LoadedModel:
        time.sleep(LOADING_S)  # as a real model does: it is not there at once
        return loaded(ScriptedModel(playing("ready")))

    return LocalEngine(load)


def supervised() -> Engine:
    return SupervisedEngine([sys.executable, fake_host.__file__])


def supervised_local() -> Engine:
    return SupervisedEngine(fake_host_scripted.COMMAND, environment=fake_host_scripted.ENVIRONMENT)


def default() -> Engine:
    """The engine that editors get, with the model that ships."""
    return open_engine(EngineOptions(num_threads=1))


LAYOUT = Layout(
    name="plain", order="psm", prefix="<P>", suffix="<S>", middle="<M>", models=("a-model",)
)

Opening = Callable[[AsyncExitStack], Awaitable[Engine]]


def remote(kind: Kind) -> Opening:
    """Each kind of endpoint, by itself."""

    async def opened(stack: AsyncExitStack) -> Engine:
        endpoint = await FakeEndpoint(kind).start()
        stack.push_async_callback(endpoint.stop)
        return RemoteEngine(RemoteOptions(url=endpoint.url, layouts=(LAYOUT,)))

    opened.__name__ = f"remote-{kind}"
    return opened


async def remote_and_local(stack: AsyncExitStack) -> Engine:
    opened = await remote("openai")(stack)
    assert isinstance(opened, RemoteEngine)
    return FallbackEngine(opened, local())


async def remote_down_and_local(stack: AsyncExitStack) -> Engine:
    """Nothing listens where the endpoint should be: the local engine is all there is."""
    endpoint = await FakeEndpoint().start()
    await endpoint.stop()
    return FallbackEngine(RemoteEngine(RemoteOptions(url=endpoint.url)), local())


async def remote_service(stack: AsyncExitStack) -> Engine:
    """Our own service, with a model that plays what is written down."""
    served = local()
    await served.wait_ready()
    stack.push_async_callback(served.close)
    settings = ServiceSettings(max_waiting=256, max_waiting_of_one=256)
    app = create_app(served, settings)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))

    async def stop() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(stop)
    return RemoteEngine(RemoteOptions(url=f"http://127.0.0.1:{listening.getsockname()[1]}"))


@functools.cache
def llama_server() -> tuple["LlamaCpp", tempfile.TemporaryDirectory[str]]:
    """Return llama.cpp's server in this process with the model that ships, and where that lies."""
    from export.package.to_checkpoint import write_checkpoint
    from tests.support.exported import read_values
    from tests.support.llama_cpp import LlamaCpp, write_gguf

    folder = tempfile.TemporaryDirectory()
    checkpoint, gguf = Path(folder.name) / "checkpoint", Path(folder.name) / "inkling.gguf"
    write_checkpoint(embedded_folder(), checkpoint)
    write_gguf(gguf, *read_values(checkpoint), checkpoint / TOKENIZER_FILE)
    return LlamaCpp(gguf, context_length=1024, num_threads=1), folder


async def remote_llama_server(_stack: AsyncExitStack) -> Engine:
    return RemoteEngine(RemoteOptions(url=llama_server()[0].address))


def opening(open_engine: Callable[[], Engine]) -> Opening:
    async def opened(_stack: AsyncExitStack) -> Engine:
        return open_engine()

    opened.__name__ = open_engine.__name__
    return opened


OPENINGS = [
    *map(opening, (default, local, supervised, supervised_local)),
    *map(remote, KINDS),
    remote_service,
    pytest.param(remote_llama_server, marks=[pytest.mark.parity, pytest.mark.slow]),
    remote_and_local,
    remote_down_and_local,
]


@pytest.fixture(params=OPENINGS, ids=lambda opening: opening.__name__)
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Engine]:
    """An engine that was just opened; afterwards none of its tasks is left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    open_engine: Opening = request.param
    async with AsyncExitStack() as stack:
        engine = await open_engine(stack)
        yield engine
        await engine.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def ask(
    engine: Engine, document: str = "a", *, prefix: str = PREFIX, deadline_ms: int = 10_000
) -> "asyncio.Task[Completion]":
    request = CompletionRequest(document=document, prefix=prefix, deadline_ms=deadline_ms)

    async def answer() -> Completion:
        async with asyncio.timeout(TIMEOUT_S):
            return await engine.complete(request)

    return asyncio.ensure_future(answer())


async def test_it_becomes_ready(engine: Engine) -> None:
    assert engine.status().state is EngineState.LOADING
    status = await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    assert status.state is EngineState.READY
    assert status.model
    if status.message:  # who answers in another's place says so
        assert "nothing listens there; scripted completes meanwhile" in status.message
    assert engine.status() == status


async def test_it_answers(engine: Engine) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    completion = await ask(engine)
    assert completion.text


async def test_before_it_is_ready_it_answers_with_nothing(engine: Engine) -> None:
    assert (await ask(engine)).finish_reason is FinishReason.UNAVAILABLE


async def test_each_of_many_requests_is_answered(engine: Engine) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    completions = await asyncio.gather(*(ask(engine, str(number)) for number in range(50)))
    assert all(completion.text for completion in completions)


async def test_each_request_for_one_document_is_answered_the_last_with_text(engine: Engine) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    *older, last = await asyncio.gather(*(ask(engine) for _ in range(50)))
    assert all(one.text or one.finish_reason is FinishReason.SUPERSEDED for one in older)
    assert last.text


async def test_cancelled_requests_leave_nothing_behind(engine: Engine) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    for step in range(200):
        request = ask(engine)
        for _ in range(step % 4):
            await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert (await ask(engine)).text


@pytest.mark.parametrize("deadline_ms", [-1, 0, 600_001])
async def test_a_request_out_of_bounds_is_refused(engine: Engine, deadline_ms: int) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    with pytest.raises(InvalidRequestError, match="deadline_ms"):
        await ask(engine, deadline_ms=deadline_ms)


async def test_half_a_surrogate_pair_is_refused(engine: Engine) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    with pytest.raises(InvalidRequestError, match="half a surrogate pair"):
        await ask(engine, prefix="\ud800")


async def test_closing_answers_what_runs(engine: Engine) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    running = [ask(engine, str(number)) for number in range(20)]
    await asyncio.sleep(0)
    await engine.close()
    for completion in await asyncio.gather(*running):
        assert completion.text or completion.finish_reason is FinishReason.UNAVAILABLE


async def test_a_closed_engine_answers_with_nothing(engine: Engine) -> None:
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
    await engine.close()
    await engine.close()
    assert engine.status().state is EngineState.CLOSED
    assert (await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)).state is EngineState.CLOSED
    assert await ask(engine) == Completion.nothing(FinishReason.UNAVAILABLE)


async def test_closing_while_it_loads(engine: Engine) -> None:
    ready = asyncio.ensure_future(engine.wait_ready())
    await asyncio.sleep(0)
    await engine.close()
    assert (await ready).state is EngineState.CLOSED
