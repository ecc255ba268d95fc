"""Translate between the engine's words and LSP's; nothing else does.

Pure. How much of a document a model reads, the engine decides; here it is cut only to what a
request may hold.
"""

from collections.abc import Iterable
from itertools import takewhile
from textwrap import wrap
from typing import Final
from urllib.parse import quote

from lsprotocol import types

from inference import MAX_TEXT_CHARACTERS, Completion, CompletionRequest, language_for
from lsp_server.documents import Document
from lsp_server.profiles import ClientProfile
from lsp_server.uris import document_key

ANNOTATION: Final = "inkling"
COMMENT_WIDTH: Final = 80
FIRST_LINES: Final = 10_000
"""Characters that tell which line ends a file has."""

MAX_NAME_CHARACTERS: Final = 4_096
"""The most of what names a document or a language; the engine accepts no more."""


def completion_request(
    document: Document,
    offset: int,
    *,
    surroundings: tuple[str, str] = ("", ""),
    max_tokens: int,
    first_text_ms: int,
    deadline_ms: int,
) -> CompletionRequest:
    """Return the request for a place; `surroundings` stand above and below the whole document."""
    above, below = surroundings
    start = max(0, offset - MAX_TEXT_CHARACTERS)
    before = ("" if start else above) + document.lines.between(start, offset)
    behind = document.lines.between(offset, offset + MAX_TEXT_CHARACTERS) + below
    prefix = before[-MAX_TEXT_CHARACTERS:]
    return CompletionRequest(
        document=document_name(document),
        prefix=encodable(prefix),
        suffix=encodable(behind[:MAX_TEXT_CHARACTERS]),
        num_skipped=len(above) + offset - len(prefix),
        language=encodable(document.language_id[:MAX_NAME_CHARACTERS]),
        max_tokens=max_tokens,
        deadline_ms=deadline_ms,
        first_text_ms=first_text_ms,
    )


def with_selected(
    document: Document, offset: int, selected: types.SelectedCompletionInfo
) -> tuple[Document, int] | None:
    """Return the document as if the selected item of a menu were accepted, and the place behind it.

    None where nothing can be shown that extends the item: every client draws only what stands on
    one line and begins with what is typed there.
    """
    span = selected.range
    start, end = document.offset_at(span.start), document.offset_at(span.end)
    typed = document.lines.between(start, offset)
    is_extendable = span.start.line == span.end.line and start <= offset <= end
    if not is_extendable or not selected.text.startswith(typed):
        return None
    change = types.TextDocumentContentChangePartial(range=span, text=selected.text)
    return document.edited([change], document.version), start + len(selected.text)


def inline_completion_list(
    document: Document,
    offset: int,
    texts: Iterable[str],
    *,
    selected: types.SelectedCompletionInfo | None = None,
    command: types.Command | None = None,
) -> types.InlineCompletionList:
    """Return an item for each text there is; accepting one runs `command`.

    The range is stated although it is empty: VS Code replaces the word at the cursor without one.
    Where a menu has something selected, items begin with that and stand in its range; `document`
    and `offset` are then what with_selected returned.
    """
    if selected is None:
        position = document.position_at(offset)
        begun, span = "", types.Range(start=position, end=position)
    else:
        begun, span = selected.text, selected.range
    items = [
        types.InlineCompletionItem(insert_text=begun + text, range=span, command=command)
        for text in dict.fromkeys(texts)
        if text
    ]
    return types.InlineCompletionList(items=items)


def no_inline_completions() -> types.InlineCompletionList:
    return types.InlineCompletionList(items=[])


def completion_list(
    document: Document, offset: int, completion: Completion, client: ClientProfile
) -> types.CompletionList:
    """Return one menu item, or none for a completion without text.

    A client compares the word before the cursor with an item and drops the item when they differ;
    what is a word, the language says. So the item replaces that word by itself and the completion,
    and all its texts start with it. `label`, `filterText` and `insertText` are one line, for
    clients that do not know `textEdit`. The list is incomplete: the next character asks anew.
    """
    if not completion.text.strip():
        return no_completions()
    before, _ = document.around(offset)
    word = _word_at_end(before, language_for(document.language_id).word_characters)
    text = word + completion.text
    first_line = _first_line(text)
    span = types.Range(
        start=document.position_at(offset - len(word)), end=document.position_at(offset)
    )
    item = types.CompletionItem(
        label=first_line,
        kind=types.CompletionItemKind.Text,
        detail="Inkling",
        filter_text=first_line,
        insert_text=first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        # Its lines are indented as the file is; some clients would indent them once more.
        insert_text_mode=types.InsertTextMode.AsIs if client.keeps_insert_text else None,
        text_edit=types.TextEdit(range=span, new_text=text),
    )
    if not client.resolves_documentation:
        document_item(item)
    return types.CompletionList(is_incomplete=True, items=[item])


def document_item(item: types.CompletionItem) -> None:
    """Give a menu item all of its text as documentation, where that is more than its label.

    The item holds what is needed, so that no session has to remember it.
    """
    if item.text_edit is not None and item.text_edit.new_text != item.label:
        item.documentation = item.text_edit.new_text


def no_completions() -> types.CompletionList:
    return types.CompletionList(is_incomplete=True, items=[])


def _word_at_end(text: str, word_characters: str) -> str:
    length = sum(
        1
        for _ in takewhile(
            lambda character: character.isalnum() or character in f"_{word_characters}",
            reversed(text),
        )
    )
    return text[len(text) - length :]


def _first_line(text: str) -> str:
    """Return the first line that shows something; white space before the very first one counts."""
    first = text.split("\n", 1)[0].rstrip("\r")
    return first if first.strip() else text.lstrip().split("\n", 1)[0].rstrip("\r")


def encodable(text: str) -> str:
    """Replace lone surrogates, which a client may send and no encoding can carry to the engine."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def document_name(document: Document) -> str:
    """Return what the engine knows a document by."""
    return name_of(document.uri)


def name_of(uri: str) -> str:
    """Return the name of what is at an address, the same for all spellings of it."""
    return document_key(uri)[-MAX_NAME_CHARACTERS:]


def workspace_edit(
    document: Document, start: int, end: int, text: str, *, label: str, is_versioned: bool
) -> types.WorkspaceEdit:
    """Return the edit of one piece of one document; `label` annotates it if it is not empty."""
    span = types.Range(document.position_at(start), document.position_at(end))
    if not is_versioned:
        return types.WorkspaceEdit(changes={document.uri: [types.TextEdit(span, text)]})
    identifier = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
    if not label:
        edit = types.TextDocumentEdit(identifier, [types.TextEdit(span, text)])
        return types.WorkspaceEdit(document_changes=[edit])
    annotated = types.AnnotatedTextEdit(annotation_id=ANNOTATION, range=span, new_text=text)
    return types.WorkspaceEdit(
        document_changes=[types.TextDocumentEdit(identifier, [annotated])],
        change_annotations={ANNOTATION: types.ChangeAnnotation(label, needs_confirmation=False)},
    )


def new_file_edit(document: Document, name: str, text: str) -> types.WorkspaceEdit:
    """Return the edit that writes a file beside a document; one that exists is left alone."""
    uri = f"{document.uri.rpartition('/')[0]}/{quote(name)}"
    start = types.Position(0, 0)
    return types.WorkspaceEdit(
        document_changes=[
            types.CreateFile(uri, options=types.CreateFileOptions(overwrite=False)),
            types.TextDocumentEdit(
                types.OptionalVersionedTextDocumentIdentifier(uri, None),
                [types.TextEdit(types.Range(start, start), text)],
            ),
        ]
    )


def comment_before(document: Document, offset: int, text: str) -> types.WorkspaceEdit:
    """Return the edit that writes words as a comment of the language above an offset's line."""
    before, _ = document.around(offset)
    indent = before[: len(before) - len(before.lstrip())]
    mark = language_for(document.language_id).line_comment or ""
    line_end = "\r\n" if "\r\n" in document.lines.between(0, FIRST_LINES) else "\n"
    lines = [line for words in text.splitlines() for line in wrap(words, COMMENT_WIDTH)]
    comment = "".join(f"{indent}{mark} {line}".rstrip() + line_end for line in lines)
    start = offset - len(before)
    return workspace_edit(document, start, start, comment, label="", is_versioned=False)
