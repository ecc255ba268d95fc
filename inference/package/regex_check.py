"""Tell whether a tokenizer's pattern can be trusted to come to an end.

The library backtracks, so a pattern may try exponentially many ways to match one text:
`(a+)+$` does. The patterns of real tokenizers are alternatives of a few simple pieces in a row.
So: nothing that repeats may hold anything but one character or one class, and only so much may
vary within one alternative. A text of n characters then costs at most n^3 steps of a prefix that
stands still, and the whole request is watched besides.

The syntax is Oniguruma's (https://github.com/kkos/oniguruma/blob/master/doc/RE), of which this
reads a part and refuses the rest.
"""

import re
from typing import Final

MAX_PATTERN: Final = 4096
MAX_UNBOUNDED: Final = 3
"""Unbounded repetitions in one alternative."""
MAX_VARIABLE: Final = 8
"""Repetitions of any kind in one alternative, optional pieces among them."""
MAX_BOUND: Final = 64
"""A larger bound counts as none."""

_GROUP_OPENINGS: Final = re.compile(r"\((\?(:|=|!|>|<=|<!|[imx]+:))?(?!\?)")
_REPETITION: Final = re.compile(r"([*+?])([+?])?|\{(\d*)(,?)(\d*)\}([+*?{]?)")
_PROPERTY: Final = re.compile(r"\\[pP]\{\^?[A-Za-z_]{1,40}\}")
_ESCAPE: Final = re.compile(r"\\x\{[0-9A-Fa-f]{1,8}\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[^0-9]")
_REFERENCES: Final = ("\\k", "\\g", "\\p", "\\P", "\\X", "\\R")


def why_unsafe(pattern: str) -> str:
    """Return why a pattern is not taken, or nothing where it is."""
    if len(pattern) > MAX_PATTERN:
        return f"it has more than {MAX_PATTERN} characters"
    try:
        _Reader(pattern).read()
    except _RefusedError as refused:
        return str(refused)
    return ""


class _RefusedError(Exception):
    pass


class _Reader:
    """Reads a pattern once from left to right; `_counts` are those of the top-level alternative."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self._depth = 0
        self._num_variable = 0
        self._num_unbounded = 0

    def read(self) -> None:
        while self._position < len(self._pattern):
            self._read_piece()
        if self._depth:
            raise _RefusedError("a group is not closed")

    def _read_piece(self) -> None:
        character = self._pattern[self._position]
        match character:
            case "(":
                self._advance(_GROUP_OPENINGS, "this kind of group")
                self._depth += 1
            case ")":
                self._position += 1
                self._depth -= 1
                if self._depth < 0:
                    raise _RefusedError("a group is closed that was not opened")
                self._read_repetition(of_group=True)
            case "|":
                self._position += 1
                if self._depth == 0:
                    self._num_variable = self._num_unbounded = 0
            case "*" | "+" | "?" | "{":
                raise _RefusedError(f"{character!r} repeats what repeats, or nothing")
            case _:
                self._read_character(character)
                self._read_repetition(of_group=False)

    def _read_character(self, character: str) -> None:
        if character == "[":
            self._read_class()
        elif character == "\\":
            self._read_escape()
        else:
            self._position += 1

    def _read_escape(self) -> None:
        if _PROPERTY.match(self._pattern, self._position):
            self._advance(_PROPERTY, "this property")
            return
        if self._pattern.startswith(_REFERENCES, self._position):
            raise _RefusedError(f"{self._pattern[self._position :][:2]} is not implemented")
        self._advance(_ESCAPE, "a reference to what was matched")

    def _read_class(self) -> None:
        depth = 0
        while self._position < len(self._pattern):
            character = self._pattern[self._position]
            if character == "\\":
                self._read_escape()
                continue
            self._position += 1
            depth += (character == "[") - (character == "]")
            if depth == 0:
                return
        raise _RefusedError("a class is not closed")

    def _read_repetition(self, *, of_group: bool) -> None:
        found = _REPETITION.match(self._pattern, self._position)
        if found is None:
            return
        self._position = found.end()
        is_optional = found[1] == "?"
        if of_group and not is_optional:
            raise _RefusedError("a group repeats, which can take exponentially long")
        if found[6]:
            raise _RefusedError("a repetition repeats, which can take exponentially long")
        largest = found[5] if found[4] else found[3]
        is_fixed = found[1] is None and (not found[4] or found[3] == found[5])
        is_unbounded = not is_optional and (
            found[1] is not None or not largest or int(largest) > MAX_BOUND
        )
        self._num_variable += not is_fixed
        self._num_unbounded += is_unbounded
        if self._num_unbounded > MAX_UNBOUNDED or self._num_variable > MAX_VARIABLE:
            raise _RefusedError("too many pieces of one alternative repeat")

    def _advance(self, expression: re.Pattern[str], what: str) -> None:
        found = expression.match(self._pattern, self._position)
        if found is None:
            raise _RefusedError(f"{what} is not implemented")
        self._position = found.end()
