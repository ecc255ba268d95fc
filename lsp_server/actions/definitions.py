"""Find the function around a cursor, by its header's words and its indentation. Pure.

Well laid out code shows where a function ends in every language: at the first line that is indented
no more than its header and closes nothing. No grammar is needed, and a keystroke costs nothing.
"""

import re
from typing import Final

import msgspec

HEADER: Final = re.compile(
    r"""(?x)^[ \t]*
    (?:(?:export|default|public|private|protected|internal|static|async|final|override|virtual|
        inline|const|unsafe|pub(?:\([^)]*\))?|extern|abstract|suspend)\s+)*
    (?: (?:def|function\*?|fn|fun)\s+(?P<word>\w+[?!]?)
      | func\s+(?:\([^)]*\)\s*)?(?P<go>\w+)
      | (?:const|let|var)\s+(?P<arrow>\w+)\s*=\s*(?:async\s*)?
        (?:function\b | \([^()]*\)\s*=> | \w+\s*=>)
      | (?:[\w<>\[\],.:*&?]+\s+)+\*?(?P<typed>\w+)\s*\([^;]*\)\s*(?:const\s*)?\{?\s*$
      | (?P<method>(?!if|for|while|switch|catch|return|else)\w+)
        \s*\([^;]*\)\s*(?::\s*[\w<>\[\]|, ]+)?\{\s*$
    )"""
)
LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
CLOSERS: Final = ("{", ")", "]", "}", "end", "else", "elif", "except", "finally", "catch", "rescue")
NO_HEADERS: Final = re.compile(
    r"^\s*(return|raise|print|assert|else|new|throw|await|yield|case|import|from|delete)\b"
)


class Definition(msgspec.Struct, frozen=True):
    """A function. `start` to `end` is all of it without the last line end.

    `body` is where the line behind the header begins, `indent` the header's indentation.
    """

    name: str
    start: int
    body: int
    end: int
    indent: str

    def text_in(self, text: str) -> str:
        return text[self.start : self.end]


def definition_at(text: str, offset: int) -> Definition | None:
    """Return the innermost function that the offset stands in or in whose header it stands."""
    lines = [match[0] for match in LINE.finditer(text) if match[0]]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    if not lines:
        return None
    cursor = max(index for index, start in enumerate(starts[:-1]) if start <= offset)
    deepest = _depth(lines, cursor)
    for index in range(cursor, -1, -1):
        line = lines[index]
        if not line.strip() or (index != cursor and _indentation(line) >= deepest):
            continue
        name = _name(line)
        if name is None:
            if index != cursor and not line.lstrip().startswith(CLOSERS):
                deepest = min(deepest, _indentation(line))
            continue
        last = _last_line(lines, index)
        if last < cursor:  # one that ends before the cursor, beside it
            deepest = min(deepest, _indentation(line))
            continue
        header = _last_of_header(lines, index, last)
        end = starts[last] + len(lines[last].rstrip("\r\n"))
        indent = line[: len(line) - len(line.lstrip())]
        return Definition(name, starts[index], min(starts[header + 1], end), end, indent)
    return None


def _depth(lines: list[str], cursor: int) -> int:
    """Return how far right the cursor's line begins; a blank line counts as the one above it."""
    for line in reversed(lines[: cursor + 1]):
        if line.strip():
            return _indentation(line) + 1
    return 1


def _name(line: str) -> str | None:
    if NO_HEADERS.match(line):
        return None
    match = HEADER.match(line.rstrip())
    if match is None:
        # A header that goes on: its parameters stand on lines of their own.
        opened = re.match(
            r"^[ \t]*(?:async\s+)?(?:def|function|fn|func)\s+(\w+).*\($", line.rstrip()
        )
        return opened[1] if opened else None
    return next(name for name in match.groups() if name)


def _last_line(lines: list[str], header: int) -> int:
    base, last = _indentation(lines[header]), header
    for index in range(header + 1, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        depth = _indentation(line)
        is_closing = depth == base and line.lstrip().startswith((")", "]", "}", "{", "end"))
        if depth <= base and not is_closing:
            break
        last = index
        if is_closing and line.strip() in ("}", "end", "};", "})", "});"):
            break
    return last


def _last_of_header(lines: list[str], first: int, last: int) -> int:
    """Return the line on which the header ends: where its brackets are closed and a body begins."""
    depth = 0
    for index in range(first, last + 1):
        line = re.sub(r"(['\"]).*?\1", "", lines[index])
        depth += sum(line.count(mark) for mark in "([") - sum(line.count(mark) for mark in ")]")
        if depth <= 0 and line.rstrip().endswith((":", "{", "=>", ")", "do")):
            return index
    return first


def _indentation(line: str) -> int:
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())
