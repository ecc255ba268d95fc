"""Make what a model wrote fit into the place where it is shown: RULES, one after another.

Pure. Each rule takes a text and what stands around it and returns a text, with nothing added that
the model did not say: rules cut, and spell blanks and line ends as the file spells them. What is
around a rule has line feeds alone (line_ends.py); the last rule gives the file's own back.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final

import msgspec

from inference.decoding.line_ends import line_end_of, with_line_feeds
from inference.decoding.loops import num_without_loop

PAIRS: Final = {")": "(", "]": "[", "}": "{"}
QUOTES: Final = "\"'`"

LINES_AROUND: Final = 200
"""Lines before and behind that say how a file indents; characters are bounded by the request."""

LINES_BELOW: Final = 20
"""Lines behind the cursor that a text may not end in."""

INDENTS: Final = (4, 2, 8, 3)
"""Widths of one step of indentation, the usual one first."""


class Surroundings(msgspec.Struct, frozen=True, dict=True):
    """What stands before and behind a text, with line feeds alone, and the file's own line end."""

    before: str
    behind: str
    line_end: str = "\n"

    @classmethod
    def of(cls, prefix: str, suffix: str) -> "Surroundings":
        line_end = line_end_of(prefix, suffix)
        return cls(with_line_feeds(prefix), with_line_feeds(suffix), line_end)

    @cached_property
    def cursor_line(self) -> str:
        """What stands on the line before the cursor."""
        return self.before[self.before.rfind("\n") + 1 :]

    @cached_property
    def rest(self) -> str:
        """What stands on the line behind the cursor."""
        return self.behind.partition("\n")[0].rstrip()

    @cached_property
    def above(self) -> Sequence[str]:
        return self.before.split("\n")[-LINES_AROUND:-1]

    @cached_property
    def below(self) -> Sequence[str]:
        return self.behind.split("\n", LINES_AROUND)[1:LINES_AROUND]


Rule = Callable[[str, Surroundings], str]


def clean(text: str, around: Surroundings) -> str:
    """Return what may be shown of a text; nothing where nothing is left."""
    for rule in RULES:
        text = rule(text, around) if text else text
    return text


def shown_again(text: str, around: Surroundings) -> str:
    """Return what may be shown of the remainder of a text that was shown."""
    for rule in RULES_FOR_A_REMAINDER:
        text = rule(text, around)
    return text


def without_half_character(text: str, around: Surroundings) -> str:
    """Leave out what stands for bytes that are no character yet."""
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def without_empty_first_line(text: str, around: Surroundings) -> str:
    """Begin on the cursor's line where that is empty: what is there of its indentation counts."""
    lead = re.match(r"(?:[ \t]*\n)+", text)
    if lead is None or around.cursor_line.strip() or around.rest:
        return text
    line = text[lead.end() :]
    return line.removeprefix(around.cursor_line)


def with_own_indentation(text: str, around: Surroundings) -> str:
    """Indent with tabs in a file that does, and with blanks in one that does."""
    lines = [*around.above, *around.below]
    num_tabs = sum(line.startswith("\t") for line in lines)
    num_blanks = sum(line.startswith("  ") for line in lines)
    if num_tabs == num_blanks:
        return text
    step = _step(text.split("\n") if num_tabs > num_blanks else lines)
    first, *others = text.split("\n")
    if not around.cursor_line.strip():
        first = _indented(first, step, with_tabs=num_tabs > num_blanks)
    others = [_indented(line, step, with_tabs=num_tabs > num_blanks) for line in others]
    return "\n".join([first, *others])


def without_rest_of_line(text: str, around: Surroundings) -> str:
    """End where the text begins to write what stands behind the cursor on its line."""
    rest = around.rest.strip()
    if not rest:
        return text
    ends = (*_at_closers(text, around), *_at_quote(text, around), *_at_rest(text, around))
    return text[: min(ends, default=len(text))]


def without_lines_below(text: str, around: Surroundings) -> str:
    """End before the lines that the file goes on with."""
    below = [line.rstrip() for line in around.below if line.strip()][:LINES_BELOW]
    if not below or around.rest:
        return text
    lines = (around.cursor_line + text).split("\n")
    for index in range(len(lines)):
        again = [line.rstrip() for line in lines[index:] if line.strip()]
        if again and len(again) <= len(below) and again == below[: len(again)]:
            return _first_lines(text, index)
    return text


def without_loops(text: str, around: Surroundings) -> str:
    """End before the first line that only repeats what stands above it, see loops.py."""
    first, *others = text.split("\n")
    lines = [around.cursor_line + first, *others]
    return _first_lines(text, num_without_loop(around.above, lines))


def without_blank_end(text: str, around: Surroundings) -> str:
    return text.rstrip()


def long_enough(text: str, around: Surroundings) -> str:
    """Show no single mark, unless it closes something or ends a statement."""
    mark = text.strip()
    is_noise = len(mark) == 1 and not mark.isalnum() and mark not in ")]}:;\"'`>"
    return "" if is_noise else text


def with_own_line_ends(text: str, around: Surroundings) -> str:
    return text.replace("\n", around.line_end)


RULES: Final[tuple[Rule, ...]] = (
    without_half_character,
    without_empty_first_line,
    with_own_indentation,
    without_rest_of_line,
    without_lines_below,
    without_loops,
    without_blank_end,
    long_enough,
    with_own_line_ends,
)


RULES_FOR_A_REMAINDER: Final[tuple[Rule, ...]] = (
    without_rest_of_line,
    without_lines_below,
    without_blank_end,
    with_own_line_ends,
)
"""What is around it may have changed; it itself has not."""


def _first_lines(text: str, num_lines: int) -> str:
    return "\n".join(text.split("\n")[:num_lines])


def _at_closers(text: str, around: Surroundings) -> Iterator[int]:
    """Yield where a bracket is closed that the rest of the line closes.

    What stands before the cursor on its line may have opened more of a kind than the rest closes;
    so many are the text's to close.
    """
    closed_behind = Counter(mark for _, mark in _brackets(around.rest)[0])
    num_own = Counter(_brackets(around.cursor_line)[1])
    for place, mark in _brackets(text)[0]:
        if mark not in closed_behind:
            continue
        if num_own[PAIRS[mark]] <= closed_behind[mark]:
            yield place
            return
        num_own[PAIRS[mark]] -= 1


def _at_quote(text: str, around: Surroundings) -> Iterator[int]:
    """Yield where a string ends that the rest of the line ends."""
    quote = around.rest.lstrip()[0]
    if quote in QUOTES and around.cursor_line.count(quote) % 2:
        place = text.find(quote)
        if place >= 0:
            yield place


def _at_rest(text: str, around: Surroundings) -> Iterator[int]:
    """Yield where what follows is the beginning of the rest, or all of it and more.

    Brackets are counted instead: some of them are the text's own. A part of a word is not the rest,
    unless the rest goes on with the word at the cursor.
    """
    rest = around.rest.strip()
    if rest[0] in PAIRS:
        return
    is_apart = around.rest[0].isspace()
    for place in range(len(text)):
        again = text[place:].strip()
        is_all = len(rest) > 1 and again.startswith(rest)
        is_part = rest.startswith(again) and not _is_inside_word(rest, len(again))
        is_rest = bool(again) and (is_all or is_part)
        if is_apart and _is_inside_word(text, place):
            continue
        if is_rest and not _brackets(text[:place])[1]:
            yield place
            return


def _is_inside_word(text: str, place: int) -> bool:
    around = text[place - 1 : place + 1] if place else ""
    return len(around) == 2 and all(mark.isalnum() or mark == "_" for mark in around)


def _brackets(text: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the closing brackets that nothing opened, with their places, and those left open."""
    unopened: list[tuple[int, str]] = []
    opened: list[str] = []
    for place, mark in enumerate(text):
        if mark in PAIRS.values():
            opened.append(mark)
        elif mark in PAIRS:
            if opened and opened[-1] == PAIRS[mark]:
                opened.pop()
            else:
                unopened.append((place, mark))
    return unopened, opened


def _step(lines: Sequence[str]) -> int:
    """Return the width of one step of indentation, as far as blanks say it."""
    widths = {len(blanks) for line in lines for blanks in re.findall(r"^\t*( +)\S", line)}
    return next((step for step in INDENTS if widths and all(w % step == 0 for w in widths)), 4)


def _indented(line: str, step: int, *, with_tabs: bool) -> str:
    """Spell the blanks at a line's beginning in tabs or in blanks."""
    content = line.lstrip(" \t")
    blanks = line[: len(line) - len(content)]
    if not with_tabs:
        return blanks.replace("\t", " " * step) + content
    num_tabs, num_left = divmod(len(blanks.expandtabs(step)), step)
    return "\t" * num_tabs + " " * num_left + content
