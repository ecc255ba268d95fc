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
"""

from collections.abc import Callable
from typing import Final, assert_never

from inference.completion import FinishReason, Scope
from inference.languages import Language

CLOSING: Final = (")", "]", "}")

MIN_REPEATS: Final = 3
MIN_REPEATED: Final = 3
"""Characters: shorter runs are numbers, ornaments and indentation."""

Stop = Callable[[str], int | None]
"""From the text written so far to how much of it to keep, or None to go on."""


def stop_rule(scope: Scope, language: Language, prefix: str) -> tuple[Stop, FinishReason]:
    """Return the rule that ends a completion after `prefix`, and what its ending is called."""
    match scope:
        case "line":
            return line_end, FinishReason.LINE
        case "block":
            if language.block == "prose":
                return paragraph_end, FinishReason.BLOCK
            cursor_line = prefix[prefix.rfind("\n") + 1 :]
            return lambda text: block_end(text, cursor_line), FinishReason.BLOCK
        case _:
            assert_never(scope)


def line_end(text: str) -> int | None:
    """Stop before the first line break."""
    return _found(text.find("\n"))


def paragraph_end(text: str) -> int | None:
    """Stop before the first blank line that follows some text."""
    start = len(text) - len(text.lstrip("\n"))
    return _found(text.find("\n\n", start))


def block_end(text: str, cursor_line: str) -> int | None:
    """Stop before the first line that no longer belongs to the block; see the drawing above.

    A line counts only once a character that is not white space shows its indentation.
    """
    starts_blank = not cursor_line.strip()
    base = indentation(_first_code_line(cursor_line + text))
    start, after_blank = text.find("\n"), False
    is_first = starts_blank and not text[: max(start, 0)].strip()
    while start >= 0:
        end = text.find("\n", start + 1)
        line = text[start + 1 : end if end >= 0 else None]
        if not line.strip():
            after_blank = end >= 0
        elif is_first:
            is_first = after_blank = False
        elif _ends_block(line, base, starts_blank=starts_blank, after_blank=after_blank):
            return start
        else:
            after_blank = False
        start = end
    return None


def repetition(text: str) -> int | None:
    """Stop when the end says the same thing MIN_REPEATS times over; keep the lines before it.

    A line that repeats itself inside is not kept, lines that are repeated are kept once. A model
    that has nothing to say falls into such loops and does not leave them by itself.
    """
    for length in range(MIN_REPEATED, len(text) // MIN_REPEATS + 1):
        unit = text[-length:]
        if text.endswith(unit * MIN_REPEATS) and any(map(str.isalnum, unit)):
            end = len(text) - length * (MIN_REPEATS - 1)
            return end if text[end] == "\n" else max(0, text.rfind("\n", 0, end))
    return None


def indentation(line: str) -> int:
    """Return the width of the white space that `line` starts with; a tab reaches the next 8th."""
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())


def _ends_block(line: str, base: int, *, starts_blank: bool, after_blank: bool) -> bool:
    indent = indentation(line)
    if indent != base:
        return indent < base
    if after_blank:
        return True
    return not starts_blank and not line.lstrip().startswith(CLOSING)


def _first_code_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip()), "")


def _found(index: int) -> int | None:
    return index if index >= 0 else None
