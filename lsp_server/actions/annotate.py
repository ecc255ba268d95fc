"""Add the types of a Python function's parameters and of what it returns, one by one."""

import re
from collections.abc import Iterator
from typing import Final

from inference import language_for
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
from lsp_server.actions.definitions import Definition

HEADER: Final = re.compile(r"def\s+\w+\s*\((?P<parameters>[^()]*)\)(?P<returns>\s*->[^:]*)?\s*:")
PARAMETER: Final = re.compile(r"(?P<name>\*{0,2}\w+)(?P<type>\s*:[^=,]*)?(?P<default>\s*=[^,]*)?")
TYPE: Final = re.compile(r"[A-Za-z_][\w.]*(?:\[[\w\s.,\[\]|\"']*\])?(?:\s*\|\s*[\w.\[\], ]+)*")
UNTYPED: Final = frozenset(("self", "cls", "*", "/"))


def _header(site: Site) -> tuple[Definition, re.Match[str]] | None:
    """Return the header of the function at a site if something in it has no type yet."""
    types = language_for(site.language).optional_types
    found = site.definition if types else None
    header = HEADER.search(site.text, found.start, found.end) if found else None
    if found is None or header is None:
        return None
    is_open = header["returns"] is None or next(_untyped(header["parameters"]), None) is not None
    return (found, header) if is_open else None


def _untyped(parameters: str) -> Iterator[re.Match[str]]:
    for match in PARAMETER.finditer(parameters):
        if match["type"] is None and match["name"] not in UNTYPED:
            yield match


async def _compute(site: Site, _which: int, ask: Ask) -> Outcome:
    place = _header(site)
    if place is None:
        return None
    found, header = place
    before, behind = site.text[: found.start], site.text[header.end() :]
    opening = site.text[found.start : header.start("parameters")]
    parameters = header["parameters"]
    written, position = "", 0
    for match in _untyped(parameters):
        written += parameters[position : match.end("name")]
        position = match.end("name")
        rest = f"{parameters[position:]}):{behind}"
        kind = await _type(ask, f"{before}{opening}{written}: ", rest)
        written += f": {kind}" if kind else ""
        if kind and match["default"] and not match["default"].startswith(" "):
            written += " = " + match["default"].lstrip("= ")
            position = match.end("default")
    written += parameters[position:]
    returns = header["returns"] or ""
    if not returns:
        kind = await _type(ask, f"{before}{opening}{written}) -> ", f":{behind}")
        returns = f" -> {kind}" if kind else ""
    new = f"{opening}{written}){returns}:"
    if new == site.text[found.start : header.end()]:
        return None
    return await if_well_formed(site, Edit(found.start, header.end(), new), ask)


async def _type(ask: Ask, before: str, behind: str) -> str:
    filled = await ask.fill(before, behind, scope="line", max_tokens=12)
    match = TYPE.match(filled.text.strip())
    return match[0].strip() if match else ""


ACTION: Final = Action(
    name="annotate",
    kind=REWRITE,
    titles=only("Add type annotations", lambda site: _header(site) is not None),
    compute=_compute,
)
