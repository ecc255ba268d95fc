r"""Hold a text so that an edit costs what it touches, not what the file or the line holds.

A line ends at "\r\n", "\n" or "\r" and nowhere else (LSP 3.18, "Text Documents"): a form feed or
U+2028 is a character like any other, which is why str.splitlines is not used. Columns, offsets and
lengths here are Python characters unless a Unit says otherwise.

Lines is immutable. It keeps its text in pieces of some thousand characters, wherever lines end in
them, so that a file of one line is as cheap as any other; a changed copy shares every piece that
the change does not touch.

Invariants: no piece is empty, unless it is the only one; "\r\n" lies within one piece.
"""

import functools
import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Final

import msgspec

PIECE_CHARACTERS: Final = 8192
"""Characters per piece: an edit of 5 MB copies one piece and three tuples of about 600 entries."""

LARGE_CHARACTERS: Final = 1 << 16
"""A text of this length is measured where it is read, see MeasuredText."""

_LINE_ENDING: Final = re.compile(r"\r\n|\n|\r")


class Unit(Enum):
    """What columns may be counted in."""

    BYTE = auto()
    UTF16 = auto()
    CHARACTER = auto()


class Piece(msgspec.Struct, frozen=True, dict=True):
    text: str

    @functools.cached_property
    def num_line_endings(self) -> int:
        line_feeds, returns = self.text.count("\n"), self.text.count("\r")
        return line_feeds + returns - (self.text.count("\r\n") if returns else 0)

    @functools.cached_property
    def line_starts(self) -> Sequence[int]:
        """Where lines start within the piece, but for the one that its first character is of."""
        return [match.end() for match in _LINE_ENDING.finditer(self.text)]

    @functools.cached_property
    def num_bytes(self) -> int:
        return num_units(self.text, Unit.BYTE)

    @functools.cached_property
    def num_utf16(self) -> int:
        return num_units(self.text, Unit.UTF16)

    def num_units(self, unit: Unit) -> int:
        match unit:
            case Unit.BYTE:
                return self.num_bytes
            case Unit.UTF16:
                return self.num_utf16
            case Unit.CHARACTER:
                return len(self.text)


class Lines:
    """An immutable text. Compare two by their `text`."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = tuple(pieces)
        self._first_lines = _running_total(piece.num_line_endings for piece in self._pieces)
        self._first_characters = _running_total(len(piece.text) for piece in self._pieces)

    @classmethod
    def of(cls, text: str) -> "Lines":
        return text.lines if isinstance(text, MeasuredText) else cls(list(_pieces(text)))

    @property
    def num_lines(self) -> int:
        return self._first_lines[-1] + 1

    @property
    def num_characters(self) -> int:
        return self._first_characters[-1]

    @property
    def num_bytes(self) -> int:
        """The size of the text in UTF-8; counted once per piece, also across edits."""
        return sum(piece.num_bytes for piece in self._pieces)

    @property
    def is_blank(self) -> bool:
        return all(piece.text.isspace() or not piece.text for piece in self._pieces)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self._pieces)

    def line(self, line_index: int) -> str:
        """Return one line with its ending."""
        return self.between(self.start_of(line_index), self.start_of(line_index + 1))

    def start_of(self, line_index: int) -> int:
        """Return the offset of a line's first character; behind the last line is the text's end."""
        if line_index >= self.num_lines:
            return self.num_characters
        if line_index == 0:
            return 0
        index = bisect_left(self._first_lines, line_index) - 1
        start = self._pieces[index].line_starts[line_index - self._first_lines[index] - 1]
        return self._first_characters[index] + start

    def end_of(self, line_index: int) -> int:
        """Return the offset behind a line's last character, where its ending begins."""
        end = self.start_of(line_index + 1)
        if line_index >= self.num_lines - 1:
            return end
        return end - (2 if self.between(end - 2, end) == "\r\n" else 1)

    def place_of(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset; past the end is the end."""
        offset = min(offset, self.num_characters)
        index = self._piece_at(offset)
        within = offset - self._first_characters[index]
        starts = self._pieces[index].line_starts
        line_index = self._first_lines[index] + bisect_right(starts, within)
        return line_index, offset - self.start_of(line_index)

    def between(self, start: int, end: int) -> str:
        """Return the characters from offset `start` up to `end`."""
        start, end = max(start, 0), min(end, self.num_characters)
        first, last = self._piece_at(start), self._piece_at(max(start, end))
        text = "".join(piece.text for piece in self._pieces[first : last + 1])
        before = self._first_characters[first]
        return text[start - before : max(start, end) - before]

    def units_between(self, start: int, end: int, unit: Unit) -> int:
        return self._units_before(end, unit) - self._units_before(start, unit)

    def forward(self, start: int, end: int, count: int, unit: Unit) -> int:
        """Return the offset `count` units behind `start`, at most `end`.

        Within a character it is that character's start.
        """
        target = self._units_before(start, unit) + count
        if target >= self._units_before(end, unit):
            return end
        first_units = self._first_units[unit]
        index = bisect_right(first_units, target) - 1
        within = _characters_within(self._pieces[index].text, target - first_units[index], unit)
        return self._first_characters[index] + within

    def replaced(self, start: int, end: int, text: str) -> "Lines":
        """Return a copy in which `text` stands in place of the characters `start` up to `end`."""
        first, last = self._piece_at(start), self._piece_at(end)
        head = self._pieces[first].text[: start - self._first_characters[first]]
        tail = self._pieces[last].text[end - self._first_characters[last] :]
        text = head + text + tail
        # What is short joins its neighbour, so that pieces stay few; so does half a line ending.
        if first > 0 and (_is_short(text) or text[0] == "\n"):
            first -= 1
            text = self._pieces[first].text + text
        if last + 1 < len(self._pieces) and (_is_short(text) or text[-1] == "\r"):
            last += 1
            text += self._pieces[last].text
        return Lines((*self._pieces[:first], *_pieces(text), *self._pieces[last + 1 :]))

    @functools.cached_property
    def _first_units(self) -> "_FirstUnits":
        return _FirstUnits(self._pieces)

    def _units_before(self, offset: int, unit: Unit) -> int:
        index = self._piece_at(offset)
        before = self._pieces[index].text[: offset - self._first_characters[index]]
        return self._first_units[unit][index] + num_units(before, unit)

    def _piece_at(self, offset: int) -> int:
        return min(bisect_right(self._first_characters, offset), len(self._pieces)) - 1


class _FirstUnits(dict[Unit, list[int]]):
    """For each unit that was asked for, how many stand before each piece."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._pieces = pieces

    def __missing__(self, unit: Unit) -> list[int]:
        self[unit] = totals = _running_total(piece.num_units(unit) for piece in self._pieces)
        return totals


class MeasuredText(str):
    """A text that brings its Lines, with all counts made.

    Whoever reads a large text makes it, in its own thread: to count in 50 MB took the event loop
    more than 100 ms. It is a string like any other to those who do not know of it.
    """

    __slots__ = ("lines",)
    lines: Lines

    def __new__(cls, text: str) -> "MeasuredText":
        self = super().__new__(cls, text)
        pieces = list(_pieces(text))
        for piece in pieces:
            for unit in Unit:
                piece.num_units(unit)
        self.lines = Lines(pieces)
        return self


def num_units(text: str, unit: Unit) -> int:
    """Count the units of `text`. A lone surrogate counts as a character of its own."""
    if unit is Unit.CHARACTER or text.isascii():
        return len(text)
    if unit is Unit.BYTE:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _characters_within(text: str, count: int, unit: Unit) -> int:
    """Return how many whole characters at the start of `text` fit into `count` units."""
    if unit is Unit.CHARACTER or text.isascii():
        return count
    lengths = range(len(text) + 1)
    return bisect_right(lengths, count, key=lambda length: num_units(text[:length], unit)) - 1


def _is_short(text: str) -> bool:
    return len(text) < PIECE_CHARACTERS // 2


def _running_total(counts: Iterable[int]) -> list[int]:
    return list(itertools.accumulate(counts, initial=0))


def _pieces(text: str) -> Iterator[Piece]:
    """Cut into pieces; up to twice the usual size stays whole, so typing does not cut again."""
    start = 0
    while len(text) - start > 2 * PIECE_CHARACTERS:
        end = start + PIECE_CHARACTERS
        end += text[end - 1 : end + 1] == "\r\n"
        yield Piece(text[start:end])
        start = end
    yield Piece(text[start:])
