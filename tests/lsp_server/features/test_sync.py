import pytest
from lsprotocol import types

from lsp_server.convert import document_name
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.sessions import URI, Session, turns

DOCUMENT = {"uri": URI}
INLINE = {
    "textDocument": DOCUMENT,
    "position": {"line": 0, "character": 0},
    "context": {"triggerKind": 2},
}


def _range(start: tuple[int, int], end: tuple[int, int]) -> dict[str, dict[str, int]]:
    return {
        name: {"line": place[0], "character": place[1]}
        for name, place in (("start", start), ("end", end))
    }


def check(session: Session, text: str | None) -> None:
    document = session.server.documents.get(URI)
    assert (document and document.lines.text) == text


def opened(text: str) -> Session:
    session = Session()
    session.initialize()
    item = {"uri": URI, "languageId": "python", "version": 1, "text": text}
    session.notify("textDocument/didOpen", {"textDocument": item})
    return session


async def test_an_opened_document_is_held() -> None:
    check(opened("a\r\nb"), "a\r\nb")


async def test_of_a_closed_document_nothing_more_is_read() -> None:
    session = opened("a")
    session.notify("textDocument/didClose", {"textDocument": {"uri": "file:///unknown"}})
    assert session.engine.log.left == []
    document = session.server.documents.get(URI)
    assert document is not None
    session.notify("textDocument/didClose", {"textDocument": DOCUMENT})
    assert session.engine.log.left == [document_name(document)]
    check(session, None)


async def test_a_change_in_a_range_is_applied() -> None:
    session = opened("a\nb")
    _change(session, 2, {"range": _range((1, 0), (1, 1)), "text": "c"})
    check(session, "a\nc")


async def test_a_whole_text_replaces_the_document() -> None:
    session = opened("a\nb")
    _change(session, 2, {"text": "new"})
    check(session, "new")


async def test_the_deprecated_range_length_is_ignored() -> None:
    session = opened("abc")
    _change(session, 2, {"range": _range((0, 1), (0, 2)), "rangeLength": 3, "text": ""})
    check(session, "ac")


@pytest.mark.parametrize(
    "changes",
    [
        [{"text": None}],
        [{}],
        [{"range": _range((0, 0), (0, 1)), "text": None}],
        [{"range": _range((0, 0), (0, 1))}],
        [{"range": _range((0, 0), (0, 1)), "text": 3}],
        [{"range": {"start": {"line": 0}}, "text": "x"}],
        [{"range": _range((0, -1), (0, 1)), "text": "x"}],
        [{"range": {"start": {"line": 0, "character": 0.5}}, "text": "x"}],
        [{"range": [], "text": "x"}],
        [{"text": "x"}, None],
        None,
        "x",
        3,
    ],
)
async def test_after_a_change_that_is_not_understood_a_document_is_unknown(
    changes: object,
) -> None:
    session = opened("a")
    params = {"textDocument": {**DOCUMENT, "version": 2}, "contentChanges": changes}
    session.notify("textDocument/didChange", params)
    check(session, None)
    _change(session, 3, {"range": _range((0, 0), (0, 0)), "text": "x"})
    check(session, None)
    _change(session, 4, {"range": None, "text": "whole"})
    check(session, "whole")


async def test_after_an_older_version_a_document_is_unknown() -> None:
    session = opened("a")
    _change(session, 0, {"range": _range((0, 0), (0, 0)), "text": "x"})
    check(session, None)


@pytest.mark.parametrize("document", [DOCUMENT, {**DOCUMENT, "version": None}])
async def test_a_client_need_not_count_versions(document: dict[str, object]) -> None:
    session = opened("a")
    change = {"range": _range((0, 1), (0, 1)), "text": "b"}
    params = {"textDocument": document, "contentChanges": [change]}
    session.notify("textDocument/didChange", params)
    check(session, "ab")


@pytest.mark.parametrize("item", [{}, {"languageId": None, "version": None}])
async def test_a_document_without_a_language_is_plain_text(item: dict[str, object]) -> None:
    session = Session()
    session.initialize()
    session.notify("textDocument/didOpen", {"textDocument": {**DOCUMENT, **item, "text": "a"}})
    document = session.server.documents.get(URI)
    assert document is not None
    assert (document.language_id, document.version) == ("plaintext", 0)


@pytest.mark.parametrize("item", [{}, {"text": None}, {"text": 3}, {"text": "a", "languageId": 3}])
async def test_a_document_without_a_text_is_unknown(item: dict[str, object]) -> None:
    session = opened("a")
    session.notify("textDocument/didOpen", {"textDocument": {**DOCUMENT, "version": 1, **item}})
    check(session, None)


async def test_a_document_nobody_opened_is_ignored() -> None:
    session = Session()
    session.initialize()
    _change(session, 2, {"text": "x"})
    session.notify("textDocument/didClose", {"textDocument": DOCUMENT})
    check(session, None)
    assert session.kept.messages == []


async def test_a_closed_document_is_forgotten_and_its_request_answered_from_its_snapshot() -> None:
    session = Session(ScriptedEngine(Script(is_held=True)))
    session.initialize()
    session.open("a")
    session.request(7, types.TEXT_DOCUMENT_INLINE_COMPLETION, INLINE)
    await turns()
    session.notify("textDocument/didClose", {"textDocument": DOCUMENT})
    await turns()
    check(session, None)
    session.engine.release()
    await turns()
    assert [message["id"] for message in session.kept.messages] == [7]


def _change(session: Session, version: int, *changes: object) -> None:
    document = {**DOCUMENT, "version": version}
    params = {"textDocument": document, "contentChanges": list(changes)}
    session.notify("textDocument/didChange", params)
