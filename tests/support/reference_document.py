"""A text as LSP 3.18 says an editor's text is: one string, and positions that are counted from it.

Nothing here is shared with the server: lines are found and columns counted in the plainest way.
"""

import re
from typing import Any, NamedTuple

_LINE_END = re.compile(r"\r\n|\n|\r")
_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


class Edit(NamedTuple):
    """What stood at `start`, and what stands there now."""

    start: int
    old: str
    new: str


class ReferenceDocument:
    """`version` is what the server is told; `revision` counts what it is told and only grows."""

    def __init__(self, uri: str, text: str, encoding: str, language: str | None = "python") -> None:
        self.uri, self.text, self.language = uri, text, language
        self.spelled = uri
        """The address as it is sent, in any spelling of it."""
        self.encoding = encoding
        self.version, self.revision = 1, 0
        self.cursor = len(text)
        self.is_open = False
        self.is_lost = False
        """The server was told what it cannot understand, so it must not know this document."""
        self.undoable: list[Edit] = []

    @property
    def line_end(self) -> str:
        found = _LINE_END.search(self.text)
        return found[0] if found else "\n"

    @property
    def before(self) -> str:
        return self.text[: self.cursor]

    @property
    def behind(self) -> str:
        return self.text[self.cursor :]

    def replace(self, start: int, end: int, new: str) -> dict[str, Any]:
        """Edit the text; return the change as LSP writes it. The cursor goes behind what is new."""
        start, end = self.snapped(start), self.snapped(end)
        span = {"start": self.position(start), "end": self.position(end)}
        old = self.text[start:end]
        self.undoable.append(Edit(start, old, new))
        self.text = self.text[:start] + new + self.text[end:]
        self.cursor = self.snapped(start + len(new))
        return {"range": span, "rangeLength": units(old, "utf-16"), "text": new}

    def undo(self) -> dict[str, Any]:
        edit = self.undoable.pop()
        change = self.replace(edit.start, edit.start + len(edit.new), edit.old)
        self.undoable.pop()
        return change

    def snapped(self, offset: int) -> int:
        """Return an offset that has a position: none lies within a line end."""
        offset = min(max(offset, 0), len(self.text))
        return offset - 1 if self.text[offset - 1 : offset + 1] == "\r\n" else offset

    def position(self, offset: int) -> dict[str, int]:
        return position_in(self.text, offset, self.encoding)


def position_in(text: str, offset: int, encoding: str) -> dict[str, int]:
    starts = _line_starts(text[:offset])
    return {"line": len(starts) - 1, "character": units(text[starts[-1] : offset], encoding)}


def offset_in(text: str, position: dict[str, int], encoding: str) -> int:
    """Return the offset of a position. Asserts that there is such a position, to the letter."""
    starts = _line_starts(text)
    assert position["line"] < len(starts), f"there is no line {position['line']}"
    start = starts[position["line"]]
    line = _LINE_END.split(text[start:], maxsplit=1)[0]
    codec, width = _CODECS[encoding]
    encoded = line.encode(codec, "surrogatepass")[: position["character"] * width]
    assert len(encoded) == position["character"] * width, f"{position} is behind its line's end"
    return start + len(encoded.decode(codec, "surrogatepass"))


def units(text: str, encoding: str) -> int:
    codec, width = _CODECS[encoding]
    return len(text.encode(codec, "surrogatepass")) // width


def line_ends(text: str) -> set[str]:
    return set(_LINE_END.findall(text))


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in _LINE_END.finditer(text))]
