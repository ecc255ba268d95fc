"""Know what each open file holds: one immutable Document per version.

Only the text that the client sent counts; nothing here reads a disk, whatever a URI says.
Positions follow LSP 3.18: a line past the end is the end of the file, a column past the end is the
end of its line, and a column inside a character is that character's start. Line endings cannot be
split. A handler that holds a Document never sees a later edit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from lsprotocol.types import (
    Position,
    PositionEncodingKind,
    Range,
    TextDocumentContentChangeEvent,
    TextDocumentContentChangePartial,
    TextDocumentItem,
)

from lsp_server.lines import Lines, Unit
from lsp_server.notebooks import Notebooks
from lsp_server.uris import document_key

UNITS: Final[Mapping[PositionEncodingKind, Unit]] = {
    PositionEncodingKind.Utf8: Unit.BYTE,
    PositionEncodingKind.Utf16: Unit.UTF16,
    PositionEncodingKind.Utf32: Unit.CHARACTER,
}


class Document(msgspec.Struct, frozen=True):
    uri: str
    language_id: str
    version: int
    lines: Lines
    encoding: PositionEncodingKind

    def offset_at(self, position: Position) -> int:
        """Return the offset in characters, clamped into the text."""
        lines = self.lines
        if position.line >= lines.num_lines:
            return lines.num_characters
        start, end = lines.start_of(position.line), lines.end_of(position.line)
        return lines.forward(start, end, position.character, UNITS[self.encoding])

    def position_at(self, offset: int) -> Position:
        line_index, column = self.lines.place_of(offset)
        start = self.lines.start_of(line_index)
        character = self.lines.units_between(start, start + column, UNITS[self.encoding])
        return Position(line=line_index, character=character)

    def around(self, offset: int) -> tuple[str, str]:
        """Return what stands before and after on the offset's line, without its ending."""
        lines = self.lines
        line_index, column = lines.place_of(offset)
        start, end = lines.start_of(line_index), lines.end_of(line_index)
        offset = min(start + column, end)
        return lines.between(start, offset), lines.between(offset, end)

    def edited(self, changes: Sequence[TextDocumentContentChangeEvent], version: int) -> "Document":
        """Apply changes in their order, each to the result of the one before."""
        document = self
        for change in changes:
            match change:
                case TextDocumentContentChangePartial(range=span, text=text):
                    lines = document._lines_with(span, text)
                case _:
                    lines = Lines.of(change.text)
            document = msgspec.structs.replace(document, lines=lines)
        return msgspec.structs.replace(document, version=version)

    def _lines_with(self, span: Range, text: str) -> Lines:
        start = self.offset_at(span.start)
        start, end = sorted((start, start if span.end == span.start else self.offset_at(span.end)))
        return self.lines.replaced(start, end, text)


@dataclass
class Documents:
    """The open documents, each under whatever spelling of its address.

    A document whose text is no longer certain is forgotten: it stays open and unknown, and nobody
    gets a stale one, until it is opened again or replaced whole.
    """

    encoding: PositionEncodingKind = PositionEncodingKind.Utf16
    notebooks: Notebooks = field(default_factory=Notebooks)
    _known: dict[str, Document] = field(default_factory=dict[str, Document])
    _forgotten: dict[str, Document] = field(default_factory=dict[str, Document])

    @property
    def uris(self) -> Sequence[str]:
        """The addresses of those that are known, as the client sent them."""
        return [document.uri for document in self._known.values()]

    def get(self, uri: str) -> Document | None:
        return self._known.get(document_key(uri))

    def open(self, item: TextDocumentItem) -> None:
        self._hold(
            Document(item.uri, item.language_id, item.version, Lines.of(item.text), self.encoding)
        )

    def change(
        self, uri: str, version: int | None, changes: Sequence[TextDocumentContentChangeEvent]
    ) -> None:
        """Take the next version; None where the client counts none.

        A version that is older than what is held means that something was missed, so the document
        is forgotten, unless a change states all of its text.
        """
        key = document_key(uri)
        document = self._known.get(key)
        if document is not None and (version is None or version >= document.version):
            self._hold(document.edited(changes, document.version if version is None else version))
            return
        self.forget(uri)
        forgotten, certain = self._forgotten.get(key), _from_the_last_whole_text(changes)
        if forgotten is not None and certain:
            self._hold(forgotten.edited(certain, version or 0))

    def surroundings(self, uri: str) -> tuple[str, str]:
        """Return what stands in a notebook above and below a cell, in the cell's own language.

        Both are empty for a document that is no cell.
        """
        document = self.get(uri)
        if document is None:
            return "", ""
        above, below = (
            "".join(self._cell_text(key, document.language_id) for key in keys)
            for keys in self.notebooks.around(uri)
        )
        return above, below

    def forget(self, uri: str) -> None:
        """Know no longer what an open document, or each cell of an open notebook, holds."""
        for key in (document_key(uri), *self.notebooks.close(uri)):
            self._forget(key)

    def _forget(self, key: str) -> None:
        document = self._known.pop(key, None)
        if document is not None:
            self._forgotten[key] = msgspec.structs.replace(document, lines=Lines.of(""))

    def close(self, uri: str) -> None:
        key = document_key(uri)
        self._known.pop(key, None)
        self._forgotten.pop(key, None)

    def _cell_text(self, key: str, language_id: str) -> str:
        """Return a cell's text, so that another can follow, where it is of that language."""
        cell = self._known.get(key)
        if cell is None or cell.language_id != language_id:
            return ""
        text = cell.lines.text
        return text if text.endswith("\n") or not text else f"{text}\n"

    def _hold(self, document: Document) -> None:
        key = document_key(document.uri)
        self._forgotten.pop(key, None)
        self._known[key] = document


def _from_the_last_whole_text(
    changes: Sequence[TextDocumentContentChangeEvent],
) -> Sequence[TextDocumentContentChangeEvent]:
    """Return the changes that do not depend on what was there before, if any."""
    for index in range(len(changes) - 1, -1, -1):
        if not isinstance(changes[index], TextDocumentContentChangePartial):
            return changes[index:]
    return ()
