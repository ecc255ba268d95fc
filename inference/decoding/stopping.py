"""Decide where a completion ends, from its text and the line it continues.

Pure. Token limits, end tokens and deadlines are the caller's; here is what a reader would call the
end of a line or of a block.

A block, by indentation. `base` is that of the cursor's line, or of the first line written if the
cursor's is empty:

    cursor on an empty line                 cursor behind code
    def f():                                def f(a):|
        |a = 1          base = 4                return a      deeper: belongs to it
        return a        same: goes on       )                 closes it: belongs to it
    g()                 less: ended         g()               same: ended

After a blank line, a line at `base` begins something new and ends the block in both cases.

A line that begins blank is no answer: where the cursor's line is empty and a line is asked for, it
does not end before something is written. Here is said where that is so; it is kept where tokens
are chosen (healing.py), since behind a line end that was written the line is lost.

A rule remembers what it has seen of its text, so a token costs the same wherever it stands.
"""

from collections.abc import Callable
from typing import Final

from inference.completion import FinishReason, Scope, line_before, line_behind
from inference.languages import Language

CLOSING: Final = (")", "]", "}")

Stop = Callable[[str], int | None]
"""From the text written so far to how much of it to keep, or None to go on.

Each call is given what the one before was given, and more behind it.
"""


def stop_rule(
    scope: Scope, language: Language, prefix: str, suffix: str
) -> tuple[Stop, FinishReason]:
    """Return the rule that ends a completion in a hole, and what its ending is called."""
    if asks_for_line(scope, suffix):
        return LineEnd(), FinishReason.LINE
    if language.block == "prose":
        return ParagraphEnd(), FinishReason.BLOCK
    return BlockEnd(line_before(prefix)), FinishReason.BLOCK


def fills_line(scope: Scope, prefix: str, suffix: str) -> bool:
    """Say whether a line is asked for that is empty so far: then a line end is no answer."""
    return asks_for_line(scope, suffix) and not line_before(prefix).strip()


def follows_on_line(suffix: str) -> bool:
    """Say whether anything stands behind the cursor on its line: a block would push it down."""
    return bool(line_behind(suffix).strip())


def asks_for_line(scope: Scope, suffix: str) -> bool:
    """Say whether a completion ends with its line."""
    return scope == "line" or (scope == "auto" and follows_on_line(suffix))


class LineEnd:
    """Stop before the first line break."""

    def __init__(self) -> None:
        self._num_seen = 0

    def __call__(self, text: str) -> int | None:
        end = text.find("\n", self._num_seen)
        if end < 0:
            self._num_seen = len(text)
        return _found(end)


class ParagraphEnd:
    """Stop before the first blank line that follows some text."""

    def __init__(self) -> None:
        self._num_seen = 0
        self._has_text = False

    def __call__(self, text: str) -> int | None:
        if not self._has_text:
            new = text[self._num_seen :]
            self._has_text = bool(new.strip("\n"))
            self._num_seen += len(new) - len(new.lstrip("\n"))
        if not self._has_text:
            return None
        end = text.find("\n\n", self._num_seen)
        if end < 0:
            self._num_seen = max(self._num_seen, len(text) - 1)
        return _found(end)


class BlockEnd:
    """Stop before the first line that no longer belongs to the block; see the drawing above.

    A line counts only once a character that is not white space shows its indentation. `_start` is
    where the line begins that is being written, the cursor's own at first.
    """

    def __init__(self, cursor_line: str) -> None:
        self._cursor_line = cursor_line
        self._starts_blank = not cursor_line.strip()
        self._base = None if self._starts_blank else indentation(cursor_line)
        self._start = 0
        self._num_seen = 0
        self._is_judged = False
        self._is_after_blank = False

    def __call__(self, text: str) -> int | None:
        while True:
            end = text.find("\n", self._num_seen)
            if not self._is_judged:
                line = text[self._start : end if end >= 0 else None]
                if line.strip():
                    if self._ends_block(line):
                        return self._start - 1
                    self._is_judged, self._is_after_blank = True, False
            if end < 0:
                self._num_seen = len(text)
                return None
            # The cursor's own line is no blank one between two others.
            self._is_after_blank |= not self._is_judged and self._start > 0
            self._start = self._num_seen = end + 1
            self._is_judged = False

    def _ends_block(self, line: str) -> bool:
        if self._start == 0:
            line = self._cursor_line + line
        indent = indentation(line)
        if self._base is None:
            self._base = indent
            return False
        if self._start == 0:
            return False
        if indent != self._base:
            return indent < self._base
        if self._is_after_blank:
            return True
        return not self._starts_blank and not line.lstrip().startswith(CLOSING)


def indentation(line: str) -> int:
    """Return the width of the white space that `line` starts with; a tab reaches the next 8th."""
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())


def _found(index: int) -> int | None:
    return index if index >= 0 else None
