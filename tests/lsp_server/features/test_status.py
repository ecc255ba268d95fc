"""The line of status: who gets one, in which words, and when."""

from typing import Any

import pytest

from inference import EngineState, EngineStatus
from lsp_server.features.status import as_copilots, as_status, wanted
from tests.support.scripted_engine import ScriptedEngine
from tests.support.sessions import URI, Session, turns

OURS = {"experimental": {"inkling": {"status": True}}}
COPILOTS = {"editorPluginInfo": {"name": "copilot.el", "version": "1"}}


@pytest.mark.parametrize(
    ("params", "methods"),
    [
        ({}, []),
        ({"capabilities": OURS}, ["inkling/status"]),
        ({"initializationOptions": COPILOTS}, ["didChangeStatus"]),
        (
            {"capabilities": OURS, "initializationOptions": COPILOTS},
            ["inkling/status", "didChangeStatus"],
        ),
        ({"capabilities": {"experimental": {"inkling": {"status": 1}}}}, []),
        ({"capabilities": {"experimental": [1]}, "initializationOptions": []}, []),
    ],
)
def test_who_gets_one(params: dict[str, object], methods: list[str]) -> None:
    assert list(wanted(params)) == methods


READY = EngineStatus(state=EngineState.READY, model="coder")
SMALL = EngineStatus(state=EngineState.READY, model="inkling-base")
LOADING = EngineStatus(state=EngineState.LOADING)
FAILED = EngineStatus(state=EngineState.FAILED, message="no such model")


@pytest.mark.parametrize(
    ("status", "state", "message", "is_small"),
    [
        (READY, "ready", "coder completes", False),
        (SMALL, "ready", "inkling-base completes; `inkling model list` shows better models", True),
        (LOADING, "loading", "the model is being loaded", False),
        (FAILED, "failed", "no such model", False),
    ],
)
def test_our_words(status: EngineStatus, state: str, message: str, is_small: bool) -> None:
    assert as_status(status) == {
        "state": state,
        "model": status.model,
        "message": message,
        "small_model_only": is_small,
    }


@pytest.mark.parametrize(
    ("status", "busy", "kind"),
    [(READY, False, "Normal"), (LOADING, True, "Inactive"), (FAILED, False, "Error")],
)
def test_copilots_words(status: EngineStatus, busy: bool, kind: str) -> None:
    told = as_copilots(status)
    assert (told["busy"], told["kind"]) == (busy, kind)


class Changing(ScriptedEngine):
    """An engine that is loading first, and whose state a test then sets."""

    def __init__(self) -> None:
        super().__init__(status=LOADING)

    def become(self, status: EngineStatus) -> None:
        self._status = status

    async def wait_ready(self) -> EngineStatus:
        while self._status.state in {EngineState.LOADING, EngineState.RESTARTING}:
            await turns()
        return self._status


async def check(*states: EngineStatus, expected: list[str]) -> None:
    """Ask for a completion in each of the engine's states; the client is told these ones."""
    engine = Changing()
    session = Session(engine)
    session.initialize(capabilities=OURS)
    session.open("x = ")
    await turns()
    for number, status in enumerate(states, start=1):
        engine.become(status)
        params = {
            "textDocument": {"uri": URI},
            "position": {"line": 0, "character": 4},
            "context": {"triggerKind": 2},
        }
        session.request(number, "textDocument/inlineCompletion", params)
        for _ in range(5):
            await turns()
    assert [_told(m) for m in session.kept.messages if m.get("method") == "inkling/status"] == (
        expected
    )


def _told(message: dict[str, Any]) -> str:
    return message["params"]["state"]


async def test_it_is_told_when_it_changes() -> None:
    await check(READY, READY, expected=["loading", "ready"])
    await check(READY, FAILED, FAILED, READY, expected=["loading", "ready", "failed", "ready"])


async def test_an_engine_that_starts_again_is_followed() -> None:
    restarting = EngineStatus(state=EngineState.RESTARTING, model="coder")
    told = ["loading", "ready", "restarting", "ready"]
    await check(READY, restarting, READY, expected=told)


async def test_a_model_that_is_chosen_elsewhere_is_told_though_nobody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lsp_server.features.status.LOOK_EVERY_S", 0)
    engine = Changing()
    session = Session(engine)
    session.initialize(capabilities=OURS)
    for model in ("coder", "another"):
        engine.become(EngineStatus(state=EngineState.READY, model=model))
        for _ in range(5):
            await turns()
    told = [m for m in session.kept.messages if m.get("method") == "inkling/status"]
    assert [one["params"]["model"] for one in told][-2:] == ["coder", "another"]
