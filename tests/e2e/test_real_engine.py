"""`inkling lsp` with the model that ships: one true completion as each of the eight clients.

In the middle of the suite the engine's process is killed, and the same server serves again.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import NamedTuple

import psutil
import pytest
import pytest_asyncio
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient

from inference import Completion, CompletionRequest, EngineOptions, EngineState, open_engine
from tests.support.profiles import PROFILES, initialize_params
from tests.support.raw_client import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

COMMAND = [sys.executable, "-m", "inkling", "lsp", "--stdio"]
CLASSIC = ("helix25.01", "vim-ale3.3")
VICTIM = PROFILES[len(PROFILES) // 2]
DEADLINE_MS = 60_000
"""So long that a busy machine cannot cut a completion short: its text is compared."""

BEFORE = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self."
AFTER = "\n\n    def norm(self):\n        return (self.x**2 + self.y**2) ** 0.5\n"
URI = "file:///workspace/point.py"


class Offer(NamedTuple):
    """What a client would insert, and where."""

    text: str
    position: types.Position


@pytest_lsp.fixture(
    config=ClientServerConfig(server_command=COMMAND), scope="module", params=PROFILES
)
async def client(lsp_client: LanguageClient, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    lsp_client.profile = request.param
    lsp_client.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda _params: None)
    params = initialize_params(request.param)
    params.initialization_options = {"deadlineMs": DEADLINE_MS}
    await lsp_client.initialize_session(params)
    item = types.TextDocumentItem(URI, "python", 1, BEFORE + AFTER)
    lsp_client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    yield
    await lsp_client.shutdown_session()
    assert lsp_client._server.returncode == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def expected() -> AsyncIterator[Completion]:
    """What the engine writes when nothing stands between it and the question."""
    engine = open_engine(EngineOptions())
    status = await engine.wait_ready()
    assert status.state is EngineState.READY
    yield await engine.complete(
        CompletionRequest(
            document=URI,
            prefix=BEFORE,
            suffix=AFTER,
            language="python",
            max_tokens=64,
            deadline_ms=DEADLINE_MS,
        )
    )
    await engine.close()


async def test_the_model_completes(client: LanguageClient, expected: Completion) -> None:
    assert expected.text.strip()
    await check(client, expected)


@pytest.mark.parametrize("client", [VICTIM], indirect=True)
async def test_a_killed_engine_comes_back(client: LanguageClient, expected: Completion) -> None:
    await check(client, expected)
    server = client._server.pid
    before = engine_process(server)
    before.kill()
    await check(client, expected)
    after = engine_process(server)
    assert after.pid != before.pid
    assert client._server.returncode is None


async def test_the_engine_ends_with_its_server(client: LanguageClient) -> None:
    await first_offer(client)
    engine = engine_process(client._server.pid)
    await client.shutdown_session()
    assert client._server.returncode == 0
    _, alive = await asyncio.to_thread(psutil.wait_procs, [engine], PATIENCE_SECONDS)
    assert alive == []
    client.capabilities = None  # tells the fixture that the session has been shut down


async def check(client: LanguageClient, expected: Completion) -> None:
    """The first offer is the engine's text at the cursor."""
    offer = await first_offer(client)
    assert offer.text == expected.text
    assert offer.position == types.Position(3, len("        self."))


async def first_offer(client: LanguageClient) -> Offer:
    """Ask, as one who waits for an answer, until the engine is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            offers = await _offers(client)
            if offers:
                return offers[0]
            await asyncio.sleep(0.02)


async def _offers(client: LanguageClient) -> list[Offer]:
    document, place = types.TextDocumentIdentifier(URI), types.Position(3, len("        self."))
    if client.profile in CLASSIC:
        params = types.CompletionParams(document, place)
        menu = await client.text_document_completion_async(params)
        return [Offer(item.text_edit.new_text, item.text_edit.range.end) for item in menu.items]
    context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
    params = types.InlineCompletionParams(context, document, place)
    ghosts = await client.text_document_inline_completion_async(params)
    return [Offer(item.insert_text, item.range.start) for item in ghosts.items]


def engine_process(server_process_id: int) -> psutil.Process:
    children = psutil.Process(server_process_id).children()
    (engine,) = [child for child in children if "inference.serving.host" in child.cmdline()]
    return engine
