"""Decide where a completion ends, from its text and the line it continues.

Pure. Token limits, end tokens and deadlines are the caller's; here is what a reader would call the
end of a word, a line, a statement or a block, and which of them is due where.

Blocks and statements end by their indentation. `base` is that of the cursor's line, or of the first
line written if the cursor's is empty:

    a block: the cursor's line is empty     a statement, or behind code
    def f():                                def f(a):|
        |a = 1          base = 4                return a      deeper: belongs to it
        return a        same: goes on       )                 closes it: belongs to it
    g()                 less: ended         g()               same: ended

A word that goes on with a statement, such as `else`, or ends it belongs to it as a bracket does.
After a blank line, a line at `base` begins something new and ends the block in both cases.

A line that begins blank is no answer: where the cursor's line is empty and a line is asked for, it
does not end before something is written. Here is said where that is so; it is kept where tokens
are chosen (healing.py), since behind a line end that was written the line is lost.

A rule remembers what it has seen of its text, so a token costs the same wherever it stands.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from inference.completion import Scope, SyntaxScope, Unit, line_before, line_behind
from inference.languages import Language

CLOSING: Final = (")", "]", "}")

Stop = Callable[[str], int | None]
"""From the text written so far to how much of it to keep, or None to go on.

Each call is given what the one before was given, and more behind it.
"""


def unit_for(scope: Scope, syntax: SyntaxScope | None, prefix: str, suffix: str) -> Unit:
    """Decide from what stands around the cursor what is to be completed.

    `syntax` is what the cursor stands in, None where no grammar says it.
    """
    if scope != "auto":
        return scope
    if is_inside_word(prefix, suffix):
        return "word"
    if follows_on_line(suffix) or syntax in ("comment", "string"):
        return "line"
    return "statement" if line_before(prefix).strip() else "block"


def stop_rule(unit: Unit, language: Language, prefix: str) -> Stop:
    """Return the rule that ends a completion behind `prefix`."""
    if unit == "word":
        return WordEnd(language.word_characters)
    if unit == "line":
        return LineEnd()
    if language.block == "prose":
        return ParagraphEnd()
    return BlockEnd(line_before(prefix), unit, language.continuations)


def fills_line(unit: Unit, prefix: str) -> bool:
    """Say whether a line is asked for that is empty so far: then a line end is no answer."""
    return unit in ("word", "line") and not line_before(prefix).strip()


def is_inside_word(prefix: str, suffix: str) -> bool:
    """Say whether letters or digits stand on both sides of the cursor."""
    return prefix[-1:].isalnum() and suffix[:1].isalnum()


def follows_on_line(suffix: str) -> bool:
    """Say whether anything stands behind the cursor on its line: a block would push it down."""
    return bool(line_behind(suffix).strip())


class WordEnd:
    """Stop behind the first word, and before a line break."""

    def __init__(self, word_characters: str) -> None:
        word = rf"[\w{re.escape(word_characters)}]"
        self._end = re.compile(rf"{word}(?!{word}|$)|(?=\n)", re.MULTILINE)
        self._num_seen = 0

    def __call__(self, text: str) -> int | None:
        found = self._end.search(text, max(0, self._num_seen - 1))
        self._num_seen = len(text)
        return None if found is None else found.end()


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

    def __init__(self, cursor_line: str, unit: Unit, continuations: Sequence[str]) -> None:
        self._cursor_line = cursor_line
        starts_blank = not cursor_line.strip()
        self._base = None if starts_blank else indentation(cursor_line)
        self._is_statement = unit == "statement" or not starts_blank
        self._continuations = continuations
        self._start = 0
        self._num_seen = 0
        self._is_judged = False
        self._is_after_blank = False

    def __call__(self, text: str) -> int | None:
        while True:
            end = text.find("\n", self._num_seen)
            if not self._is_judged:
                line = text[self._start : end if end >= 0 else None]
                is_told = line.strip() and (end >= 0 or not self._may_go_on(line))
                if is_told and self._ends_block(line):
                    return self._start - 1
                if is_told:
                    self._is_judged, self._is_after_blank = True, False
            if end < 0:
                self._num_seen = len(text)
                return None
            # The cursor's own line is no blank one between two others.
            self._is_after_blank |= not self._is_judged and self._start > 0
            self._start = self._num_seen = end + 1
            self._is_judged = False

    def _may_go_on(self, line: str) -> bool:
        """Say whether the first word, not all there yet, may become one of the continuations."""
        if not self._is_statement or self._start == 0 or indentation(line) != self._base:
            return False
        return any(word.startswith(line.strip()) for word in self._continuations)

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
        return self._is_after_blank or (self._is_statement and not self._goes_on(line.strip()))

    def _goes_on(self, line: str) -> bool:
        first_word = re.split(r"\W", line, maxsplit=1)[0]
        return line.startswith(CLOSING) or first_word in self._continuations


def indentation(line: str) -> int:
    """Return the width of the white space that `line` starts with; a tab reaches the next 8th."""
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())


def _found(index: int) -> int | None:
    return index if index >= 0 else None
