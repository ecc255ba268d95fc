"""Progress while the model loads: seen where it takes long; to cancel it gives the model up."""

import asyncio
from typing import Any

import pytest

from inference import EngineState, EngineStatus
from lsp_server.features import progress as progress_module
from lsp_server.features.loading import CANCELLED
from tests.support.scripted_engine import ScriptedEngine
from tests.support.sessions import Session, turns

SHOWS = {"window": {"workDoneProgress": True}}


class SlowEngine(ScriptedEngine):
    """One that is ready when the test says so."""

    def __init__(self) -> None:
        super().__init__(status=EngineStatus(state=EngineState.LOADING))
        self.ready = asyncio.Event()

    async def wait_ready(self) -> EngineStatus:
        await self.ready.wait()
        return self.status()

    def stop(self, message: str) -> None:
        super().stop(message)
        self.ready.set()


async def check(session: Session, *methods: str) -> list[dict[str, Any]]:
    """What the client is sent; it grants whatever it is asked."""
    messages = list[dict[str, Any]]()
    for _ in range(4):
        await turns()
        for message in session.kept.messages:
            messages.append(message)
            if "id" in message:
                session.receive({"jsonrpc": "2.0", "id": message["id"], "result": None})
        session.kept.messages.clear()
    assert [message["method"] for message in messages] == list(methods)
    return messages


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "APPEARS_SECONDS", 0)


def started(capabilities: object = SHOWS) -> Session:
    session = Session(SlowEngine())
    session.initialize(capabilities=capabilities)
    session.notify("initialized", {})
    return session


async def test_loading_is_shown_until_it_is_done() -> None:
    session = started()
    *_, begin = await check(session, "window/workDoneProgress/create", "$/progress")
    assert begin["params"]["value"]["title"] == "Inkling: loading the model"
    session.engine.ready.set()
    (end,) = await check(session, "$/progress")
    assert end["params"]["value"]["kind"] == "end"


async def test_loading_is_not_shown_where_nobody_sees_it() -> None:
    session = started({})
    await check(session)


async def test_a_model_that_is_there_is_not_shown_to_load() -> None:
    session = Session()
    session.initialize(capabilities=SHOWS)
    session.notify("initialized", {})
    await check(session)


async def test_to_cancel_loading_is_to_give_the_model_up_and_pause() -> None:
    session = started()
    *_, begin = await check(session, "window/workDoneProgress/create", "$/progress")
    session.notify("window/workDoneProgress/cancel", {"token": begin["params"]["token"]})
    (end, shown) = await check(session, "$/progress", "window/showMessage")
    assert end["params"]["value"]["kind"] == "end"
    assert shown["params"]["message"] == f"Inkling: {CANCELLED}"
    assert session.engine.status().state is EngineState.FAILED
    assert not session.server.settings.enable


async def test_an_engine_that_is_restarted_is_shown_to_load() -> None:
    session = Session()
    session.initialize(capabilities=SHOWS)
    slow = SlowEngine()
    session.server.engine = slow
    session.request(1, "workspace/executeCommand", {"command": "inkling.restartEngine"})
    await turns()
    session.kept.messages[:] = [one for one in session.kept.messages if one.get("id") != 1]
    await check(session, "window/workDoneProgress/create", "$/progress")
    slow.ready.set()
    await check(session, "$/progress")
