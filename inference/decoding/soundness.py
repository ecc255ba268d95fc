"""End a text where it leaves the file no worse than it was, as its grammar sees it.

What a model writes may break off inside a block, because there was no time or because it began to
say again what stands there, and it may close more than was open. What is shown of it are its first
lines, as many as add no syntax error; where none of them is so few, the first line alone, which
whoever judges it knows to add errors. Pure.
"""

from typing import Final

import msgspec

from inference.completion import FinishReason, SyntaxCheck
from inference.syntax import Place

MAX_TRIED: Final = 12
"""Endings that are tried, from the last line up; each costs about a millisecond."""

BROKEN_OFF: Final = frozenset({FinishReason.LENGTH, FinishReason.DEADLINE})
"""Behind these the last line is half a line, if it is not the only one."""


class Sound(msgspec.Struct, frozen=True):
    """What is left of a text, and what it does to the syntax; that is None without a grammar."""

    text: str
    syntax: SyntaxCheck | None


def sound(text: str, reason: FinishReason, place: Place | None) -> Sound:
    """Return as many of the text's first lines as may be shown; never nothing of something."""
    beginnings = _beginnings(text)
    if reason in BROKEN_OFF and len(beginnings) > 1:
        del beginnings[0]
    if place is None or not beginnings:
        return Sound(beginnings[0] if beginnings else "", None)
    tried = dict[str, SyntaxCheck]()
    for beginning in beginnings[:MAX_TRIED]:
        tried[beginning] = place.check(beginning)
        if not tried[beginning].num_errors_after:
            break
    best = min(tried, key=lambda beginning: tried[beginning].num_errors_after)
    if not adds_no_errors(tried[best]):
        best = beginnings[-1]
    return Sound(best, tried.get(best) or place.check(best))


def adds_no_errors(syntax: SyntaxCheck | None) -> bool:
    return syntax is None or syntax.num_errors_after <= syntax.num_errors_before


def _beginnings(text: str) -> list[str]:
    """Return the first lines of a text, all of them first, down to the first with something on."""
    lines = text.splitlines(keepends=True)
    kept = ("".join(lines[:num_lines]).rstrip() for num_lines in range(len(lines), 0, -1))
    return list(dict.fromkeys(filter(None, kept)))
