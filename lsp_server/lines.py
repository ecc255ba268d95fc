r"""Hold a text as lines so that an edit costs what it touches, not what the file holds.

A line ends at "\r\n", "\n" or "\r" and nowhere else (LSP 3.18, "Text Documents"): a form feed or
U+2028 is a character like any other, which is why str.splitlines is not used. Columns, offsets and
lengths here are Python characters; code units are the business of documents.py.

Lines is immutable. It keeps its lines in blocks of some hundred, and a changed copy shares every
block that the change does not touch.

Invariants: a line holds its own ending, every line but the last has one, the last has none;
"\r" at the end of a line is never followed by "\n" at the start of the next.
"""

import functools
import io
import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

BLOCK_LINES: Final = 256
"""Lines per block: with 100,000 lines an edit copies two tuples of about 400 entries."""


def split_lines(text: str) -> list[str]:
    """Return the lines of `text` with their endings; the last one, without, may be empty."""
    lines = list(io.StringIO(text, newline=""))
    if not lines or lines[-1][-1] in "\r\n":
        lines.append("")
    return lines


@dataclass(frozen=True)
class Block:
    lines: tuple[str, ...]

    @functools.cached_property
    def num_characters(self) -> int:
        return sum(map(len, self.lines))

    @functools.cached_property
    def num_bytes(self) -> int:
        return sum(len(line.encode("utf-8", "surrogatepass")) for line in self.lines)


class Lines:
    """An immutable text. Compare two by their `text`."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = tuple(blocks)
        self._first_lines = _running_total(len(block.lines) for block in self._blocks)
        self._first_characters = _running_total(block.num_characters for block in self._blocks)

    @classmethod
    def of(cls, text: str) -> "Lines":
        return cls(list(_blocks(split_lines(text))))

    @property
    def num_lines(self) -> int:
        return self._first_lines[-1]

    @property
    def num_characters(self) -> int:
        return self._first_characters[-1]

    @property
    def num_bytes(self) -> int:
        """The size of the text in UTF-8; counted once per block, also across edits."""
        return sum(block.num_bytes for block in self._blocks)

    @property
    def is_blank(self) -> bool:
        return not any(line.strip() for block in self._blocks for line in block.lines)

    @property
    def text(self) -> str:
        return "".join(line for block in self._blocks for line in block.lines)

    def line(self, line_index: int) -> str:
        """Return one line with its ending."""
        block_index = self._block_of_line(line_index)
        return self._blocks[block_index].lines[line_index - self._first_lines[block_index]]

    def start_of(self, line_index: int) -> int:
        """Return the offset of a line's first character."""
        block_index = self._block_of_line(line_index)
        before = self._blocks[block_index].lines[: line_index - self._first_lines[block_index]]
        return self._first_characters[block_index] + sum(map(len, before))

    def place_of(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset; past the end is the end."""
        offset = min(offset, self.num_characters)
        block_index = self._block_of_character(offset)
        line_index = self._first_lines[block_index]
        column = offset - self._first_characters[block_index]
        for line in self._blocks[block_index].lines:
            if column < len(line):
                break
            column -= len(line)
            line_index += 1
        if line_index == self.num_lines:  # behind the last line, which has no ending
            return line_index - 1, len(self.line(line_index - 1))
        return line_index, column

    def between(self, start: int, end: int) -> str:
        """Return the characters from offset `start` up to `end`."""
        first, last = self._block_of_character(start), self._block_of_character(max(start, end))
        lines = (line for block in self._blocks[first : last + 1] for line in block.lines)
        before = self._first_characters[first]
        return "".join(lines)[start - before : max(start, end) - before]

    def replaced(self, first: int, last: int, lines: Sequence[str]) -> "Lines":
        """Return a copy in which `lines` stand in place of the lines `first` to `last`."""
        first_block, last_block = self._block_of_line(first), self._block_of_line(last)
        head = self._blocks[first_block].lines[: first - self._first_lines[first_block]]
        tail = self._blocks[last_block].lines[last + 1 - self._first_lines[last_block] :]
        changed = _blocks((*head, *lines, *tail))
        return Lines((*self._blocks[:first_block], *changed, *self._blocks[last_block + 1 :]))

    def _block_of_line(self, line_index: int) -> int:
        return min(bisect_right(self._first_lines, line_index), len(self._blocks)) - 1

    def _block_of_character(self, offset: int) -> int:
        return min(bisect_right(self._first_characters, offset), len(self._blocks)) - 1


def _running_total(counts: Iterator[int]) -> list[int]:
    return list(itertools.accumulate(counts, initial=0))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    """Cut into blocks; up to twice the usual size stays whole, so typing does not cut again."""
    if len(lines) <= 2 * BLOCK_LINES:
        if lines:
            yield Block(tuple(lines))
        return
    for start in range(0, len(lines), BLOCK_LINES):
        yield Block(tuple(lines[start : start + BLOCK_LINES]))
