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


async def test_what_is_never_shown_is_not_shown_late_either() -> None:
    secret = "token = 'ghp_" + "a1B2" * 9 + "'"
    session = Session(ScriptedEngine(Script(text=secret, is_held=True)))
    session.initialize()
    session.open("ab")
    waiting = asyncio.ensure_future(_result(session, INLINE, URI, character=2))
    await turns()
    session.open("a longer text")
    session.engine.release()
    assert (await waiting)["items"] == []


async def test_settings_reach_the_engine() -> None:
    session = await check(INLINE, "return 1", options={"maxTokens": 5, "deadlineMs": 77})
    (request,) = session.engine.log.requests
    assert (request.max_tokens, request.deadline_ms) == (5, 77)


SELECTED = {
    "range": {"start": {"line": 0, "character": 3}, "end": {"line": 0, "character": 4}},
    "text": "path",
}


async def test_ghost_text_extends_what_the_menu_has_selected() -> None:
    session = Session(ScriptedEngine(Script(text=".join(a)")))
    session.initialize()
    session.open("os.p\n")
    context = {"triggerKind": 2, "selectedCompletionInfo": SELECTED}
    result = await _result(session, INLINE, URI, context=context)
    (item,) = result["items"]
    assert (item["insertText"], item["range"]) == ("path.join(a)", SELECTED["range"])
    (request,) = session.engine.log.requests
    assert (request.prefix, request.suffix) == ("os.path", "\n")


async def test_what_cannot_be_extended_is_not_asked_for() -> None:
    session = Session()
    session.initialize()
    session.open("os.x\n")
    context = {"triggerKind": 1, "selectedCompletionInfo": SELECTED}
    assert await _result(session, INLINE, URI, context=context) == {"items": []}
    assert session.engine.log.requests == []


@pytest.mark.parametrize(
    ("language", "character", "is_answered"),
    [
        ("python", "(", True),
        ("python", ":", False),
        ("css", ":", True),
        ("markdown", ".", False),
        ("unheard-of", ".", True),
    ],
)
async def test_a_menu_opens_behind_the_languages_own_characters(
    language: str, character: str, is_answered: bool
) -> None:
    session = Session()
    session.initialize()
    session.open(f"abc{character}", language=language)
    context = {"triggerKind": 2, "triggerCharacter": character}
    result = await _result(session, MENU, URI, context=context)
    assert bool(result["items"]) is is_answered
    assert result["isIncomplete"]


async def test_a_menu_that_was_asked_for_opens_anywhere() -> None:
    session = Session()
    session.initialize()
    session.open("abc.", language="markdown")
    assert (await _result(session, MENU, URI, context={"triggerKind": 1}))["items"]
    assert (await _result(session, MENU, URI))["items"]


async def test_an_item_of_the_menu_is_resolved() -> None:
    resolves = {"completionItem": {"resolveSupport": {"properties": ["documentation"]}}}
    session = Session(ScriptedEngine(Script(text="a\nb")))
    session.initialize(capabilities={"textDocument": {"completion": resolves}})
    session.open("x = ")
    (item,) = (await _result(session, MENU, URI))["items"]
    assert "documentation" not in item
    session.request("resolved", "completionItem/resolve", item)
    await turns()
    resolved = session.kept.messages[-1]["result"]
    assert resolved == {**item, "documentation": "a\nb"}


@pytest.mark.parametrize("item", [{"label": "theirs"}, {"label": "x", "data": {"a": 1}}])
async def test_an_item_of_nobody_is_resolved_to_itself(item: dict[str, object]) -> None:
    session = Session()
    session.initialize()
    session.request("resolved", "completionItem/resolve", item)
    await turns()
    assert session.kept.messages[-1]["result"] == item


async def test_inline_completion_is_advertised() -> None:
    assert (await _capabilities({}))["inlineCompletionProvider"] == {}


async def test_a_menu_is_advertised_only_without_ghost_text() -> None:
    menu = (await _capabilities({}))["completionProvider"]
    assert menu["resolveProvider"] is True
    assert {".", "(", ":"} <= set(menu["triggerCharacters"])
    assert "completionProvider" not in await _capabilities(GHOSTS)


async def test_nothing_is_advertised_that_is_not_there() -> None:
    known = {"positionEncoding", "textDocumentSync", "inlineCompletionProvider"}
    known |= {"codeActionProvider", "executeCommandProvider", "notebookDocumentSync", "workspace"}
    assert set(await _capabilities(GHOSTS)) == known


async def _capabilities(capabilities: object) -> dict[str, Any]:
    session = Session()
    params = {"processId": None, "rootUri": None, "capabilities": capabilities}
    session.request(1, "initialize", params)
    (answer,) = session.kept.messages
    return answer["result"]["capabilities"]


async def _result(
    session: Session,
    method: str,
    uri: str,
    *,
    line: int = 0,
    character: int = 4,
    context: object = None,
) -> dict[str, Any]:
    params = {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": context or {"triggerKind": 2},
    }
    session.kept.messages.clear()
    session.request("here", method, params)
    for _ in range(1000):
        for message in session.kept.messages:
            if message.get("id") == "here":
                return message["result"]
        await asyncio.sleep(0)
    raise AssertionError("no answer")


def _text(item: dict[str, Any]) -> str:
    return item["textEdit"]["newText"] if "textEdit" in item else item["insertText"]


@pytest.mark.parametrize(
    ("kind", "candidates", "texts"),
    [(1, 3, ["a", "b", "c"]), (1, 2, ["a", "b"]), (1, 1, ["a"]), (2, 3, ["a"])],
)
async def test_who_asks_may_choose(kind: int, candidates: int, texts: list[str]) -> None:
    script = Script(text="a", alternatives=("b", "c", "d"))
    session = Session(ScriptedEngine(script))
    session.initialize(initializationOptions={"candidates": candidates})
    session.open("x = ")
    place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}}
    session.request(1, "textDocument/inlineCompletion", {**place, "context": {"triggerKind": kind}})
    await turns()
    items = session.kept.messages[-1]["result"]["items"]
    assert [item["insertText"] for item in items] == texts
