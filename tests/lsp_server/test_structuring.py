"""Enumerations are read as what they are, beside the strict reading of texts and numbers."""

from typing import Any

import pytest
from lsprotocol import types
from pygls.protocol import default_converter

from lsp_server.structuring import structure_what_clients_send


def check(raw: object, known: type[Any]) -> Any:
    """What is read of it can be sent back as it came."""
    converter = default_converter()
    structure_what_clients_send(converter)
    read = converter.structure(raw, known)
    assert converter.unstructure(read) == raw
    return read


def test_a_number_of_an_enumeration_is_a_member_of_it() -> None:
    item = check({"label": "a", "insertTextFormat": 1, "insertTextMode": 2}, types.CompletionItem)
    assert item.insert_text_format is types.InsertTextFormat.PlainText
    assert item.insert_text_mode is types.InsertTextMode.AdjustIndentation
    change = check({"uri": "file:///a", "type": 3}, types.FileEvent)
    assert change.type is types.FileChangeType.Deleted


def test_a_text_of_an_enumeration_is_a_member_of_it() -> None:
    assert check({"kind": "markdown", "value": "a"}, types.MarkupContent).kind == "markdown"


@pytest.mark.parametrize("kind", ["quickfix", "a kind of their own"])
def test_an_enumeration_that_is_open_takes_other_texts(kind: str) -> None:
    context = check({"diagnostics": [], "only": [kind], "triggerKind": 2}, types.CodeActionContext)
    assert list(context.only) == [kind]
    assert context.trigger_kind is types.CodeActionTriggerKind.Automatic


@pytest.mark.parametrize(
    "item",
    [
        {"label": 3},
        {"label": None},
        {"label": "a", "insertTextFormat": 9},
        {"label": "a", "insertTextFormat": "PlainText"},
    ],
)
def test_what_is_none_of_it_is_refused(item: object) -> None:
    with pytest.raises(Exception, match=r"."):
        check(item, types.CompletionItem)
