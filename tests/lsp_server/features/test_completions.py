"""Inline completion and the completion menu: which of the two answers, when, and with what."""

import asyncio
from typing import Any

import pytest
from lsprotocol import types

from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.sessions import URI, Session, turns

INLINE = types.TEXT_DOCUMENT_INLINE_COMPLETION
MENU = types.TEXT_DOCUMENT_COMPLETION
GHOSTS = {"textDocument": {"inlineCompletion": {}}}


async def check(
    method: str,
    *texts: str,
    text: str = "x = ",
    capabilities: object = None,
    options: object = None,
    script: Script | None = None,
) -> Session:
    """The texts of the items that a request at the end of the first line is answered with."""
    session = Session(ScriptedEngine(script))
    session.initialize(capabilities=capabilities or {}, initializationOptions=options)
    session.open(text)
    result = await _result(session, method, URI)
    assert [_text(item) for item in result["items"]] == list(texts)
    return session


async def test_ghost_text_is_answered() -> None:
    await check(INLINE, "return 1", capabilities=GHOSTS)


async def test_ghost_text_is_answered_to_a_client_that_did_not_announce_it() -> None:
    await check(INLINE, "return 1")


async def test_a_menu_is_answered() -> None:
    await check(MENU, "return 1")


async def test_a_menu_does_not_repeat_ghost_text() -> None:
    session = await check(MENU, capabilities=GHOSTS)
    assert session.engine.log.requests == []


@pytest.mark.parametrize("method", [INLINE, MENU])
async def test_no_text_is_an_empty_list(method: str) -> None:
    await check(method, script=Script(text=""))


@pytest.mark.parametrize("method", [INLINE, MENU])
async def test_an_empty_document_is_an_empty_list(method: str) -> None:
    session = await check(method, text="")
    assert session.engine.log.requests == []


@pytest.mark.parametrize("method", [INLINE, MENU])
async def test_a_document_above_the_limit_is_an_empty_list(method: str) -> None:
    session = await check(method, options={"maxDocumentBytes": 2})
    assert session.engine.log.requests == []


async def test_a_disabled_server_is_silent() -> None:
    await check(INLINE, options={"enable": False})


async def test_a_document_that_is_not_open_is_an_empty_list() -> None:
    session = Session()
    session.initialize()
    assert await _result(session, INLINE, "file:///etc/passwd") == {"items": []}
    assert session.engine.log.requests == []


async def test_a_position_outside_the_file_is_its_end() -> None:
    session = Session()
    session.initialize()
    session.open("a\nb")
    result = await _result(session, INLINE, URI, line=900, character=900)
    assert result["items"][0]["range"]["start"] == {"line": 1, "character": 1}
    assert session.engine.log.requests[0].prefix == "a\nb"


async def test_a_request_is_answered_for_the_text_it_saw() -> None:
    session = Session(ScriptedEngine(Script(is_held=True)))
    session.initialize()
    session.open("ab")
    waiting = asyncio.ensure_future(_result(session, INLINE, URI, character=2))
    await turns()
    session.open("a longer text")
    session.engine.release()
    result = await waiting
    assert result["items"][0]["range"]["start"] == {"line": 0, "character": 2}
    assert session.engine.log.requests[0].prefix == "ab"


async def test_settings_reach_the_engine() -> None:
    session = await check(INLINE, "return 1", options={"maxTokens": 5, "deadlineMs": 77})
    (request,) = session.engine.log.requests
    assert (request.max_tokens, request.deadline_ms) == (5, 77)


async def test_inline_completion_is_advertised() -> None:
    assert (await _capabilities({}))["inlineCompletionProvider"] == {}


async def test_a_menu_is_advertised_only_without_ghost_text() -> None:
    assert "completionProvider" in await _capabilities({})
    assert "completionProvider" not in await _capabilities(GHOSTS)


async def test_nothing_is_advertised_that_is_not_there() -> None:
    known = {"positionEncoding", "textDocumentSync", "inlineCompletionProvider"}
    known |= {"executeCommandProvider", "workspace"}
    assert set(await _capabilities(GHOSTS)) == known


async def _capabilities(capabilities: object) -> dict[str, Any]:
    session = Session()
    params = {"processId": None, "rootUri": None, "capabilities": capabilities}
    session.request(1, "initialize", params)
    (answer,) = session.kept.messages
    return answer["result"]["capabilities"]


async def _result(
    session: Session, method: str, uri: str, *, line: int = 0, character: int = 4
) -> dict[str, Any]:
    params = {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 2},
    }
    session.request("here", method, params)
    for _ in range(1000):
        for message in session.kept.messages:
            if message.get("id") == "here":
                return message["result"]
        await asyncio.sleep(0)
    raise AssertionError("no answer")


def _text(item: dict[str, Any]) -> str:
    return item["textEdit"]["newText"] if "textEdit" in item else item["insertText"]
