from typing import Any

import pytest

from tests.support.sessions import Session, turns

NOTEBOOK = "file:///workspace/a.ipynb"
INLINE = "textDocument/inlineCompletion"


def cell(name: str) -> str:
    return f"vscode-notebook-cell:/workspace/a.ipynb#{name}"


def check(session: Session, name: str, *, above: str, text: str | None, below: str) -> None:
    document = session.server.documents.get(cell(name))
    assert (document and document.lines.text) == text
    assert session.server.documents.surroundings(cell(name)) == (above, below)


def opened(**texts: str) -> Session:
    """Open a notebook of these cells; one whose text begins with # is Markdown."""
    session = Session()
    session.initialize()
    notebook = {
        "uri": NOTEBOOK,
        "notebookType": "jupyter-notebook",
        "version": 1,
        "cells": [_cell(name) for name in texts],
    }
    items = [_item(name, text) for name, text in texts.items()]
    params = {"notebookDocument": notebook, "cellTextDocuments": items}
    session.notify("notebookDocument/didOpen", params)
    return session


async def test_a_cell_is_a_document_among_its_siblings() -> None:
    session = opened(a="x = 1", title="# Title", b="y = 2\n", c="z = 3", empty="")
    check(session, "b", above="x = 1\n", text="y = 2\n", below="z = 3\n")
    check(session, "title", above="", text="# Title", below="")


async def test_a_cell_is_completed() -> None:
    session = opened(a="x = 1", b="y = ")
    place = {"textDocument": {"uri": cell("b")}, "position": {"line": 0, "character": 4}}
    session.request(1, INLINE, {**place, "context": {"triggerKind": 1}})
    await turns()
    (answer,) = [message for message in session.kept.messages if message.get("id") == 1]
    assert answer["result"]["items"]


async def test_cells_are_inserted_moved_and_deleted() -> None:
    session = opened(a="1", b="2")
    array = {"start": 1, "deleteCount": 0, "cells": [_cell("c")]}
    _change(session, structure={"array": array, "didOpen": [_item("c", "3")]})
    check(session, "c", above="1\n", text="3", below="2\n")
    array = {"start": 0, "deleteCount": 2, "cells": [_cell("c"), _cell("a")]}
    _change(session, structure={"array": array})
    check(session, "a", above="3\n", text="1", below="2\n")
    array = {"start": 0, "deleteCount": 1}
    _change(session, structure={"array": array, "didClose": [{"uri": cell("c")}]})
    check(session, "a", above="", text="1", below="2\n")
    check(session, "c", above="", text=None, below="")


async def test_a_cell_is_edited() -> None:
    session = opened(a="1", b="2")
    span = {"start": {"line": 0, "character": 1}, "end": {"line": 0, "character": 1}}
    changes = [{"range": span, "text": "0"}]
    document = {"uri": cell("a"), "version": 2}
    _change(session, textContent=[{"document": document, "changes": changes}])
    check(session, "b", above="10\n", text="2", below="")


@pytest.mark.parametrize(
    "cells",
    [
        {"textContent": [{"document": {"uri": cell("a"), "version": 2}, "changes": [{}]}]},
        {"structure": {"array": {"start": -1, "deleteCount": 0}}},
        {"structure": {"array": None}},
        3,
    ],
)
async def test_after_a_change_that_is_not_understood_no_cell_is_known(cells: object) -> None:
    session = opened(a="1", b="2")
    document = {"uri": NOTEBOOK, "version": 2}
    params = {"notebookDocument": document, "change": {"cells": cells}}
    session.notify("notebookDocument/didChange", params)
    for name in "ab":
        check(session, name, above="", text=None, below="")


async def test_a_closed_notebook_is_forgotten() -> None:
    session = opened(a="1", b="2")
    session.notify("notebookDocument/didSave", {"notebookDocument": {"uri": NOTEBOOK}})
    cells = [{"uri": cell(name)} for name in "ab"]
    params = {"notebookDocument": {"uri": NOTEBOOK}, "cellTextDocuments": cells}
    session.notify("notebookDocument/didClose", params)
    assert session.server.documents.uris == []
    check(session, "a", above="", text=None, below="")


async def test_notebooks_are_asked_for() -> None:
    session = Session()
    session.request(1, "initialize", {})
    (answer,) = [message for message in session.kept.messages if message.get("id") == 1]
    selector = answer["result"]["capabilities"]["notebookDocumentSync"]["notebookSelector"]
    assert selector == [{"notebook": "*"}]


def _change(session: Session, **cells: Any) -> None:
    params = {"notebookDocument": {"uri": NOTEBOOK, "version": 2}, "change": {"cells": cells}}
    session.notify("notebookDocument/didChange", params)


def _cell(name: str) -> dict[str, Any]:
    return {"kind": 1 if name == "title" else 2, "document": cell(name)}


def _item(name: str, text: str) -> dict[str, Any]:
    language = "markdown" if text.startswith("#") else "python"
    return {"uri": cell(name), "languageId": language, "version": 1, "text": text}
