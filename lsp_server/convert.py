"""Translate between the engine's words and LSP's; nothing else does.

Pure. How much of a document a model reads, the engine decides; here it is cut only to what a
request may hold.
"""

from itertools import takewhile
from typing import Final

from lsprotocol import types

from inference import MAX_TEXT_CHARACTERS, Completion, CompletionRequest
from lsp_server.documents import Document

MAX_NAME_CHARACTERS: Final = 4_096
"""The most of what names a document or a language; the engine accepts no more."""


def completion_request(
    document: Document, offset: int, *, max_tokens: int, first_text_ms: int, deadline_ms: int
) -> CompletionRequest:
    start = max(0, offset - MAX_TEXT_CHARACTERS)
    return CompletionRequest(
        document=_encodable(document.uri[-MAX_NAME_CHARACTERS:]),
        prefix=_encodable(document.lines.between(start, offset)),
        suffix=_encodable(document.lines.between(offset, offset + MAX_TEXT_CHARACTERS)),
        num_skipped=start,
        language=_encodable(document.language_id[:MAX_NAME_CHARACTERS]),
        max_tokens=max_tokens,
        deadline_ms=deadline_ms,
        first_text_ms=first_text_ms,
    )


def inline_completion_list(
    document: Document, offset: int, completion: Completion, command: types.Command | None = None
) -> types.InlineCompletionList:
    """Return one item, or none for a completion without text; accepting it runs `command`.

    The range is stated although it is empty: VS Code replaces the word at the cursor without one.
    """
    if not completion.text:
        return no_inline_completions()
    position = document.position_at(offset)
    item = types.InlineCompletionItem(
        insert_text=completion.text,
        range=types.Range(start=position, end=position),
        command=command,
    )
    return types.InlineCompletionList(items=[item])


def no_inline_completions() -> types.InlineCompletionList:
    return types.InlineCompletionList(items=[])


def completion_list(
    document: Document, offset: int, completion: Completion
) -> types.CompletionList:
    """Return one menu item, or none for a completion without text.

    A client compares the word before the cursor with an item and drops the item when they differ.
    So the item replaces that word by itself and the completion, and all its texts start with it.
    `label`, `filterText` and `insertText` are one line, for clients that do not know `textEdit`.
    The list is incomplete: the next character asks anew.
    """
    if not completion.text.strip():
        return no_completions()
    before, _ = document.around(offset)
    word = _word_at_end(before)
    text = word + completion.text
    first_line = _first_line(text)
    span = types.Range(
        start=document.position_at(offset - len(word)), end=document.position_at(offset)
    )
    item = types.CompletionItem(
        label=first_line,
        kind=types.CompletionItemKind.Text,
        detail="Inkling",
        documentation=text if text != first_line else None,
        filter_text=first_line,
        insert_text=first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        text_edit=types.TextEdit(range=span, new_text=text),
    )
    return types.CompletionList(is_incomplete=True, items=[item])


def no_completions() -> types.CompletionList:
    return types.CompletionList(is_incomplete=True, items=[])


def _word_at_end(text: str) -> str:
    length = sum(
        1
        for _ in takewhile(
            lambda character: character.isalnum() or character == "_", reversed(text)
        )
    )
    return text[len(text) - length :]


def _first_line(text: str) -> str:
    """Return the first line that shows something; white space before the very first one counts."""
    first = text.split("\n", 1)[0].rstrip("\r")
    return first if first.strip() else text.lstrip().split("\n", 1)[0].rstrip("\r")


def _encodable(text: str) -> str:
    """Replace lone surrogates, which a client may send and no encoding can carry to the engine."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
