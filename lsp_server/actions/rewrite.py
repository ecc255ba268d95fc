"""Rewrite a selection by the instruction in the comment that it begins with."""

import re
from typing import Final

from lsp_server.actions.action import (
    REWRITE,
    Action,
    Ask,
    Edit,
    Outcome,
    Site,
    if_well_formed,
    only,
)

COMMENT: Final = re.compile(r"\s*(?:#|//|--|/\*|<!--|%)+\s*(?P<words>\S.*?)\s*(?:\*/|-->)?\s*\n")
FENCE: Final = re.compile(r"```[\w+-]*\n(?P<code>.*?)\n?```", re.DOTALL)
MAX_CHARACTERS: Final = 6_000


def instruction_of(selected: str) -> tuple[str, str] | None:
    """Return the words of the first line's comment and the code behind it, None without either."""
    match = COMMENT.match(selected)
    if match is None or not selected[match.end() :].strip():
        return None
    return match["words"], selected[match.end() :]


def _is_asked(site: Site) -> bool:
    return len(site.selected) <= MAX_CHARACTERS and instruction_of(site.selected) is not None


async def _compute(site: Site, _which: int, ask: Ask) -> Outcome:
    found = instruction_of(site.selected)
    if found is None:
        return None
    words, code = found
    task = (
        f"Rewrite this {site.language} code so that: {words}. Answer with the whole changed code "
        "in one block and nothing else."
    )
    new = code_in(await ask.instruct(task, code, max_tokens=512))
    if not new or new.strip() == code.strip():
        return None
    start = site.end - len(code)
    return await if_well_formed(site, Edit(start, site.end, _as_it_was_indented(new, code)), ask)


def code_in(said: str) -> str:
    """Return the code of an answer: its first block, or all of it where there is none."""
    fenced = FENCE.search(said)
    return (fenced["code"] if fenced else said).strip("\n")


def _as_it_was_indented(new: str, old: str) -> str:
    """Give a text the indentation and the last line end of the one that it replaces."""
    first = next(line for line in old.splitlines() if line.strip())
    indent = first[: len(first) - len(first.lstrip())]
    lines = new.strip("\n").splitlines()
    written = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    line_end = "\r\n" if "\r\n" in old else "\n"
    moved = [indent + line.removeprefix(written) if line.strip() else "" for line in lines]
    return line_end.join(moved) + (line_end if old.endswith("\n") else "")


ACTION: Final = Action(
    name="rewrite",
    kind=REWRITE,
    titles=only("Rewrite as the comment says", _is_asked),
    compute=_compute,
    is_instructed=True,
)
