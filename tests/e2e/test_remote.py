"""`inkling lsp --remote` as an editor starts it: who answers, and that a workspace has no say."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference import CompletionRequest, EngineOptions, RemoteOptions, open_engine
from inference.serving.remote.fallback import FallbackEngine
from tests.support.fake_endpoint import FakeEndpoint
from tests.support.raw_client import INKLING_LSP, RawClient, inline_params
from tests.support.service_process import ServiceProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

INLINE = "textDocument/inlineCompletion"
TEXT = "class A:\n    def f(self):\n        self."


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    """An endpoint in a loop of its own: the client here blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    endpoint = FakeEndpoint("openai", model="big-model")
    asyncio.run_coroutine_threadsafe(endpoint.start(), loop).result(10)
    endpoint.pieces = ["from_afar"]
    yield endpoint
    asyncio.run_coroutine_threadsafe(endpoint.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folders = {name: str(tmp_path / name) for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME")}
    return {**os.environ, **folders}


def texts(client: RawClient) -> list[str]:
    items = client.result(INLINE, inline_params(2, 13))["items"]
    return [item["insertText"] for item in items]


def test_the_endpoint_answers_and_the_engine_here_when_it_does_not(
    endpoint: FakeEndpoint, environment: dict[str, str]
) -> None:
    with RawClient((*INKLING_LSP, "--remote", endpoint.url), environment) as client:
        client.initialize(
            capabilities={"experimental": {"inkling": {"status": True}}},
            initializationOptions={"deadlineMs": 60_000, "level": "eager"},
        )
        while client.notification("inkling/status")["state"] != "ready":
            pass
        client.open(TEXT)
        assert texts(client) == ["from_afar"]
        endpoint.fault = "busy"
        client.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": "file:///workspace/a.py", "version": 2},
                "contentChanges": [{"text": TEXT + "\n"}],
            },
        )
        for _ in range(3):
            texts(client)
        message = ""
        while "completes meanwhile" not in message:
            message = client.notification("inkling/status")["message"]
        assert message.startswith(f"{endpoint.url}: it is busy (503); ")
        assert "window/showMessage" not in {one.get("method") for one in client.others}
        assert client.leave() == 0


def test_a_workspace_cannot_have_anything_sent(
    endpoint: FakeEndpoint, environment: dict[str, str]
) -> None:
    hostile = {"remote": endpoint.url, "endpoint": endpoint.url, "remoteUrl": endpoint.url}
    with RawClient(INKLING_LSP, environment) as client:
        client.initialize(initializationOptions=hostile)
        client.notification("window/showMessage")
        client.open(TEXT)
        texts(client)
        assert client.leave() == 0
    assert endpoint.asked == []
    assert endpoint.num_connections == 0


async def test_a_service_that_is_killed_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal D7, with `inkling serve` and both engines as they are: nobody sees an error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ServiceProcess(tmp_path) as service:
        remote = RemoteOptions(url=service.address)
        engine = open_engine(EngineOptions(model="embedded", remote=remote))
        assert isinstance(engine, FallbackEngine)
        await asyncio.wait_for(engine._local.wait_ready(), 60)
        assert (await asyncio.wait_for(engine.wait_ready(), 60)).message == ""
        texts = list[str]()
        for number in range(20):
            if number == 10:
                assert engine.status().message == ""
                service.process.kill()
                service.process.wait()
            request = CompletionRequest(
                document="a", prefix=f"n = {number}\n{TEXT}", language="python"
            )
            texts.append((await engine.complete(request)).text)
        message = engine.status().message
        await engine.close()
    assert all(texts)
    assert message.startswith(service.address)
    assert message.endswith(" completes meanwhile")


def test_what_is_no_address_ends_the_server_with_a_line(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "inkling", "lsp", "--remote", "ftp://a"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("it begins http:// or https://")


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    program = (
        "import sys\n"
        "from inference import EngineOptions, open_engine\n"
        "from lsp_server.cli import create_server\n"
        "create_server(open_engine(EngineOptions()))\n"
        "print(sorted({'httpx2', 'ssl', 'inference.serving.remote.engine'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("[]", "['ssl']")
