"""Know what each open file holds: one immutable Document per version.

Only the text that the client sent counts; nothing here reads a disk, whatever a URI says.
Positions follow LSP 3.18: a line past the end is the end of the file, a column past the end is the
end of its line, and a column inside a character is that character's start. Line endings cannot be
split. A handler that holds a Document never sees a later edit.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lsprotocol.types import (
    Position,
    PositionEncodingKind,
    Range,
    TextDocumentContentChangeEvent,
    TextDocumentContentChangePartial,
    TextDocumentItem,
)

from lsp_server.lines import Lines, split_lines

COUNTING_STEP: Final = 1024
"""Characters encoded at a time while a column is looked for: bounds the work in very long lines."""


@dataclass(frozen=True)
class Document:
    uri: str
    language_id: str
    version: int
    lines: Lines
    encoding: PositionEncodingKind

    def offset_at(self, position: Position) -> int:
        """Return the offset in characters, clamped into the text."""
        line_index, column = self._place(position)
        return self.lines.start_of(line_index) + column

    def position_at(self, offset: int) -> Position:
        line_index, column = self.lines.place_of(offset)
        before = self.lines.line(line_index)[:column]
        return Position(line=line_index, character=num_units(before, self.encoding))

    def around(self, offset: int) -> tuple[str, str]:
        """Return what stands before and after on the offset's line, without its ending."""
        line_index, column = self.lines.place_of(offset)
        content = _content(self.lines.line(line_index))
        return content[:column], content[column:]

    def edited(self, changes: Sequence[TextDocumentContentChangeEvent], version: int) -> "Document":
        """Apply changes in their order, each to the result of the one before."""
        document = self
        for change in changes:
            match change:
                case TextDocumentContentChangePartial(range=span, text=text):
                    lines = document._lines_with(span, text)
                case _:
                    lines = Lines.of(change.text)
            document = replace(document, lines=lines)
        return replace(document, version=version)

    def _lines_with(self, span: Range, text: str) -> Lines:
        (first, start), (last, end) = sorted((self._place(span.start), self._place(span.end)))
        text = self.lines.line(first)[:start] + text + self.lines.line(last)[end:]
        if first > 0 and (previous := self.lines.line(first - 1)).endswith("\r"):
            # A "\n" that comes to stand behind a lone "\r" makes one line ending of the two.
            first, text = first - 1, previous + text
        lines = split_lines(text)
        if last < self.lines.num_lines - 1:
            lines.pop()  # empty: the line `last` kept its ending
        return self.lines.replaced(first, last, lines)

    def _place(self, position: Position) -> tuple[int, int]:
        if position.line >= self.lines.num_lines:
            last = self.lines.num_lines - 1
            return last, len(self.lines.line(last))
        content = _content(self.lines.line(position.line))
        return position.line, column_of(content, position.character, self.encoding)


@dataclass
class Documents:
    """The open documents. Anything that names another one is ignored."""

    encoding: PositionEncodingKind = PositionEncodingKind.Utf16
    _open: dict[str, Document] = field(default_factory=dict[str, Document])

    @property
    def uris(self) -> Sequence[str]:
        return list(self._open)

    def get(self, uri: str) -> Document | None:
        return self._open.get(uri)

    def open(self, item: TextDocumentItem) -> None:
        self._open[item.uri] = Document(
            item.uri, item.language_id, item.version, Lines.of(item.text), self.encoding
        )

    def change(
        self, uri: str, version: int, changes: Sequence[TextDocumentContentChangeEvent]
    ) -> None:
        """Take the next version; one that is older than what is held is ignored."""
        document = self._open.get(uri)
        if document is not None and version >= document.version:
            self._open[uri] = document.edited(changes, version)

    def close(self, uri: str) -> None:
        self._open.pop(uri, None)


def num_units(text: str, encoding: PositionEncodingKind) -> int:
    """Count the code units of `text`. A lone surrogate counts as a character of its own."""
    if encoding is PositionEncodingKind.Utf32 or text.isascii():
        return len(text)
    if encoding is PositionEncodingKind.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def column_of(content: str, character: int, encoding: PositionEncodingKind) -> int:
    """Return how many whole characters of `content` fit into `character` code units."""
    if encoding is PositionEncodingKind.Utf32 or content.isascii():
        return min(character, len(content))
    column = 0
    while column < len(content):
        step = content[column : column + COUNTING_STEP]
        step_units = num_units(step, encoding)
        if step_units > character:
            fitting = range(len(step) + 1)
            return column + _last_within(step, character, encoding, fitting)
        character -= step_units
        column += len(step)
    return column


def _last_within(
    step: str, character: int, encoding: PositionEncodingKind, columns: Sequence[int]
) -> int:
    return bisect_right(columns, character, key=lambda n: num_units(step[:n], encoding)) - 1


def _content(line: str) -> str:
    return line.rstrip("\r\n")
