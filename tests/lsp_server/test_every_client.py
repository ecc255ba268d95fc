"""What each recorded client is told, asked and offered, all in its own terms.

As tests/e2e/test_profiles.py, but in this process and to the letter of what a client can render.
"""

from typing import Any

import pytest

from tests.support.profiles import PROFILES, recorded_params
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.sessions import URI, Session, turns

TEXT = "def f():\n    re"
WRITES = "turn 1\n\ndef g():\n    pass"
CURSOR = {"line": 1, "character": 6}

MAY_BE_ASKED = {
    "client/registerCapability": ("workspace.didChangeWatchedFiles", "workspace"),
    "workspace/configuration": ("workspace.configuration",),
    "window/workDoneProgress/create": ("window.workDoneProgress",),
}
"""A capability that allows each request of the server."""

pytestmark = pytest.mark.parametrize("name", PROFILES)


async def started(name: str) -> tuple[Session, dict[str, Any], list[dict[str, Any]]]:
    """A session of this client, what it was told at first, and what it was asked."""
    session = Session(ScriptedEngine(Script(text=WRITES)))
    session.request(0, "initialize", recorded_params(name))
    (answer,) = session.kept.messages
    session.kept.messages.clear()
    session.notify("initialized", {})
    await turns()
    asked = [message for message in session.kept.messages if "id" in message]
    session.kept.messages.clear()
    session.open(TEXT)
    return session, answer["result"]["capabilities"], asked


async def items_of(session: Session, method: str, **context: object) -> list[dict[str, Any]]:
    params = {"textDocument": {"uri": URI}, "position": CURSOR, "context": context}
    session.request(1, method, params)
    await turns()
    (answer,) = [one for one in session.kept.messages if one.get("id") == 1]
    return answer["result"]["items"]


def capability(name: str, path: str) -> Any:
    value: Any = recorded_params(name)["capabilities"]
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def check(item: dict[str, Any], *, begun: str, text: str) -> None:
    """An edit that every client draws: on one line, and beginning with what is typed there."""
    span, inserts = item["range"], item["text"]
    assert span["start"]["line"] == span["end"]["line"] == CURSOR["line"]
    assert span["end"] == CURSOR
    assert begun == "re"[len("re") - (CURSOR["character"] - span["start"]["character"]) :]
    assert inserts == begun + text


async def test_a_client_is_told_what_it_can_use(name: str) -> None:
    _, told, _ = await started(name)
    has_ghosts = capability(name, "textDocument.inlineCompletion") is not None
    shows_texts = capability(name, "workspace.textDocumentContent") is not None
    assert told["inlineCompletionProvider"] == {}
    assert ("completionProvider" in told) is not has_ghosts
    assert ("textDocumentContent" in told["workspace"]) is shows_texts
    assert told["workspace"]["workspaceFolders"]["supported"] is True
    assert "inkling.pause" in told["executeCommandProvider"]["commands"]


async def test_a_client_is_asked_only_what_it_announced(name: str) -> None:
    _, _, asked = await started(name)
    for message in asked:
        allowing = MAY_BE_ASKED[message["method"]]
        assert any(capability(name, path) for path in allowing), message["method"]
    methods = [message["method"] for message in asked]
    assert ("workspace/configuration" in methods) is (
        capability(name, "workspace.configuration") is True
    )


async def test_a_client_registers_only_what_it_offered(name: str) -> None:
    _, _, asked = await started(name)
    for message in asked:
        for registration in message["params"].get("registrations", []):
            path = registration["method"].replace("/", ".")
            assert capability(name, f"{path}.dynamicRegistration") is True


@pytest.mark.parametrize("kind", [0, 1, 2])
async def test_ghost_text_can_be_drawn(name: str, kind: int) -> None:
    session, _, _ = await started(name)
    (item,) = await items_of(session, "textDocument/inlineCompletion", triggerKind=kind)
    edit = {"range": item["range"], "text": item["insertText"]}
    check(edit, begun="", text=WRITES)


async def test_an_item_of_the_menu_can_be_drawn_and_found(name: str) -> None:
    session, told, _ = await started(name)
    if "completionProvider" not in told:
        assert await items_of(session, "textDocument/completion", triggerKind=1) == []
        return
    (item,) = await items_of(session, "textDocument/completion", triggerKind=1)
    edit = {"range": item["textEdit"]["range"], "text": item["textEdit"]["newText"]}
    check(edit, begun="re", text=WRITES)
    first_line = "re" + WRITES.partition("\n")[0]
    assert item["label"] == item["filterText"] == item["insertText"] == first_line
    known = "textDocument.completion.completionItem"
    asks = "documentation" in (capability(name, f"{known}.resolveSupport.properties") or [])
    assert ("documentation" in item) is not asks
    keeps = 1 in (capability(name, f"{known}.insertTextModeSupport.valueSet") or [])
    assert ("insertTextMode" in item) is keeps


async def test_no_client_is_shown_a_message_for_what_it_sent(name: str) -> None:
    session, _, _ = await started(name)
    for settings in (None, {}, [], {"inkling": {}}, {"python": {"a": 1}}):
        session.notify("workspace/didChangeConfiguration", {"settings": settings})
    await turns()
    assert all(message["method"] in MAY_BE_ASKED for message in _requests(session))
    shown = [one for one in session.kept.messages if one.get("method") == "window/showMessage"]
    assert shown == []


def _requests(session: Session) -> list[dict[str, Any]]:
    cancelled = "$/cancelRequest"
    messages = [one for one in session.kept.messages if one.get("method") != cancelled]
    return [message for message in messages if "method" in message]
