"""Texts that are no files: advertised where a client shows them, held, shown and refreshed."""

import asyncio
from typing import Any

import pytest

from lsp_server.features.text_document_content import show_text
from tests.support.sessions import Session, turns

CONTENT = "workspace/textDocumentContent"
SHOWS = {"workspace": {"textDocumentContent": {}}}
OPENS = {**SHOWS, "window": {"showDocument": {"support": True}}}


async def check(capabilities: object, *asks: str, answer: dict[str, object]) -> Session:
    """What a client is asked when a text is to be shown, and that its URI leads to the text."""
    session = Session()
    session.initialize(capabilities=capabilities)
    showing = asyncio.ensure_future(show_text(session.server, "why.md", "because"))
    asked = list[str]()
    while not showing.done():
        await turns()
        for message in session.kept.messages:
            assert message["params"]["uri"] == "inkling:why.md"
            asked.append(message["method"])
            session.receive({"jsonrpc": "2.0", "id": message["id"], **answer})
        session.kept.messages.clear()
        await turns()
    assert asked == list(asks)
    assert await _content(session, showing.result()) == {"result": {"text": "because"}}
    return session


async def test_a_text_is_shown_where_that_can_be() -> None:
    await check(
        OPENS,
        "workspace/textDocumentContent/refresh",
        "window/showDocument",
        answer={"result": {"success": True}},
    )


async def test_a_client_that_opens_nothing_has_its_text_refreshed() -> None:
    await check(SHOWS, "workspace/textDocumentContent/refresh", answer={"result": None})


async def test_a_client_that_knows_no_such_texts_is_asked_nothing() -> None:
    await check({}, answer={})


async def test_a_client_that_refuses_is_survived() -> None:
    error = {"code": -32601, "message": "no"}
    await check(OPENS, "workspace/textDocumentContent/refresh", answer={"error": error})


@pytest.mark.parametrize("uri", ["inkling:never", "file:///etc/passwd", ""])
async def test_nothing_else_is_read(uri: str) -> None:
    session = await check({}, answer={})
    answer = await _content(session, uri)
    assert answer["error"]["code"] == -32602


@pytest.mark.parametrize(("capabilities", "workspace"), [({}, None), (SHOWS, ["inkling"])])
async def test_it_is_advertised_where_it_is_supported(
    capabilities: object, workspace: object
) -> None:
    session = Session()
    params = {"processId": None, "rootUri": None, "capabilities": capabilities}
    session.request(1, "initialize", params)
    advertised = session.kept.messages[0]["result"]["capabilities"]["workspace"]
    assert advertised.get("textDocumentContent", {}).get("schemes") == workspace
    assert advertised["workspaceFolders"] == {"supported": True, "changeNotifications": True}


async def _content(session: Session, uri: str) -> dict[str, Any]:
    session.kept.messages.clear()
    session.request(7, CONTENT, {"uri": uri})
    await turns()
    (answer,) = session.kept.messages
    return {name: answer[name] for name in ("result", "error") if name in answer}
