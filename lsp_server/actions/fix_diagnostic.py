"""Repair what a diagnostic flags: write its span anew, or its line, and keep what is better.

What comes is kept only if the file has no more syntax errors than before, and fewer where the
diagnostic is one of syntax; everything but that span or line stays as it is.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from lsp_server.actions.action import QUICK_FIX, Action, Ask, Edit, Filled, Flagged, Outcome, Site

SYNTAX: Final = re.compile(r"(?i)syntax|expected|unexpected|unterminated|unclosed|invalid")
MAX_SHOWN: Final = 60
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
    for start, end in _spans(site, flagged):
        stood = site.text[start:end]
        for filled in await _candidates(site, flagged, start, end, ask):
            text = filled.text
            if not text.strip() or text.strip() == stood.strip():
                continue
            left = await ask.num_errors(site.text[:start] + text + site.text[end:])
            if left < num_errors or (left == num_errors and not SYNTAX.search(flagged.message)):
                is_sure = left <= num_errors and filled.lowest >= SURE
                return Edit(start, end, text, is_sure=is_sure)
    return None


def _spans(site: Site, flagged: Flagged) -> list[tuple[int, int]]:
    """Return the flagged span if it lies within a line, then the whole line without its indent."""
    text = site.text
    first = max(text.rfind("\n", 0, flagged.start), text.rfind("\r", 0, flagged.start)) + 1
    line_end = re.compile(r"[\r\n]|\Z").search(text, flagged.start)
    assert line_end is not None
    indent = re.compile(r"[ \t]*").match(text, first)
    assert indent is not None
    line = indent.end(), max(line_end.start(), indent.end())
    is_within = flagged.start < flagged.end <= line[1]
    spans = [(flagged.start, flagged.end)] if is_within else []
    return spans if spans == [line] else [*spans, line]


async def _candidates(
    site: Site, flagged: Flagged, start: int, end: int, ask: Ask
) -> Sequence[Filled]:
    """Ask an instructed model, which is told what is wrong, and one that fills, which is not."""
    line_start = site.text.rfind("\n", 0, start) + 1
    line = site.text[line_start : _end_of_line(site.text, start)]
    told = await ask.instruct(
        f"This line has an error: {flagged.message}. Answer with the corrected line and nothing "
        f"else. The line: {line.strip()}",
        site.text[max(0, line_start - 1_500) : line_start + 800],
        max_tokens=64,
    )
    answers = list[Filled]()
    if told and end == _end_of_line(site.text, start):
        answers.append(Filled(told.strip().splitlines()[0].strip()))
    answers.append(await ask.fill(site.text[:start], site.text[end:], scope="line", max_tokens=48))
    return answers


def _end_of_line(text: str, offset: int) -> int:
    found = re.compile(r"[\r\n]|\Z").search(text, offset)
    assert found is not None
    return found.start()


ACTION: Final = Action(name="fix", kind=QUICK_FIX, titles=_titles, compute=_compute)
