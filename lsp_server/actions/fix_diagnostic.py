"""Repair what a diagnostic flags: write its span anew, or its line, and keep what is better.

What comes is kept only if the file has no more syntax errors than before, and fewer where the
diagnostic is one of syntax; everything but that span or line stays as it is.
"""

import math
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

from lsp_server.actions.action import QUICK_FIX, Action, Ask, Edit, Filled, Flagged, Outcome, Site

SYNTAX: Final = re.compile(r"(?i)syntax|expected|unexpected|unterminated|unclosed|invalid")
MAX_SHOWN: Final = 60
LINE_END: Final = re.compile(r"[\r\n]|\Z")
TASK: Final = (
    "A line of this code has an error: {}. Answer with the corrected line and nothing else. "
    "The line: {}"
)
CHARACTERS_BEFORE: Final = 1_500
CHARACTERS_BEHIND: Final = 800
SURE: Final = math.log(0.5)
"""Of the least probable token of a repair that an editor may apply without asking."""


def _titles(site: Site) -> Sequence[tuple[str, int]]:
    return [(f"Repair: {_short(flagged.message)}", flagged.index) for flagged in site.flagged]


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 3]}..."


async def _compute(site: Site, which: int, ask: Ask) -> Outcome:
    flagged = next((one for one in site.flagged if one.index == which), None)
    if flagged is None:
        return None
    num_errors = await ask.num_errors(site.text)
    is_syntax = SYNTAX.search(flagged.message) is not None
    async for start, end, filled in _candidates(site, flagged, ask, is_syntax=is_syntax):
        text = filled.text.strip() if start < end else filled.text.rstrip()
        if not text.strip() or text == site.text[start:end].strip():
            continue
        left = await ask.num_errors(site.text[:start] + text + site.text[end:])
        if left < num_errors or (left == num_errors and not is_syntax):
            return Edit(start, end, text, is_sure=filled.lowest >= SURE)
    return None


async def _candidates(
    site: Site, flagged: Flagged, ask: Ask, *, is_syntax: bool
) -> AsyncIterator[tuple[int, int, Filled]]:
    """Yield what may stand in place of a span, what costs least first.

    Something that is missing behind what is flagged, the flagged span, then its whole line: as a
    model writes it that is told what is wrong, and as one fills it that is not.
    """
    text, (first, last) = site.text, _line_around(site.text, flagged.start)

    async def filled(start: int, end: int) -> tuple[int, int, Filled]:
        return start, end, await ask.fill(text[:start], text[end:], scope="line", max_tokens=48)

    is_within = first <= flagged.start < flagged.end <= last
    if is_syntax and is_within:
        yield await filled(flagged.end, flagged.end)
    if is_within and (flagged.start, flagged.end) != (first, last):
        yield await filled(flagged.start, flagged.end)
    around = text[max(0, first - CHARACTERS_BEFORE) : last + CHARACTERS_BEHIND]
    told = await ask.instruct(TASK.format(flagged.message, text[first:last]), around, max_tokens=64)
    lines = [line for line in told.splitlines() if line.strip() and not line.startswith("```")]
    if lines:
        yield first, last, Filled(lines[0])
    yield await filled(first, last)


def _line_around(text: str, offset: int) -> tuple[int, int]:
    """Return the span of an offset's line without its indentation and its end."""
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    end = LINE_END.search(text, offset)
    assert end is not None
    line = text[start : end.start()]
    return start + len(line) - len(line.lstrip()), end.start()


ACTION: Final = Action(name="fix", kind=QUICK_FIX, titles=_titles, compute=_compute)
