"""Write the body of a function that has none yet, or what a TODO in it asks for."""

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
from lsp_server.actions.definitions import Definition

STUB: Final = re.compile(
    r"""(?x)\s*(?: pass | \.\.\. | raise\s+NotImplementedError(?:\(.*\))? | todo!\(.*\);?
    | unimplemented!\(.*\);? | throw\s+new\s+\w*Error\(["'](?:not\ implemented|todo).*\);? )\s*""",
    re.IGNORECASE,
)
TODO: Final = re.compile(r"(?m)^[ \t]*(?:#|//|--)[ \t]*TODO\b.*$")
DOCSTRING: Final = re.compile(r"\s*(?P<quotes>\"\"\"|''').*?(?P=quotes)[ \t]*", re.DOTALL)
CLOSING_LINE: Final = re.compile(r"\s*(?:\}[;)]*|end)?\s*\Z")


def _hole(site: Site) -> tuple[int, int] | None:
    """Return what of the text is to be written anew: behind a TODO's line, or the stub itself."""
    found = site.definition
    if found is None:
        return None
    start, end = _stub(site.text, found)
    if STUB.fullmatch(site.text, start, end) or not site.text[start:end].strip():
        return start, end
    for todo in TODO.finditer(site.text, found.body, found.end):
        stands = site.text[todo.end() : found.end]
        rest = STUB.match(stands)
        if CLOSING_LINE.fullmatch(stands) or (
            rest and CLOSING_LINE.fullmatch(stands[rest.end() :])
        ):
            stop = todo.end() + (len(stands[: rest.end()].rstrip()) if rest else 0)
            return todo.end(), stop
    return None


def _stub(text: str, found: Definition) -> tuple[int, int]:
    """Return the span of the body without docstring, closing brace and blanks around it."""
    start, end = found.body, found.end
    docstring = DOCSTRING.match(text, start, end)
    if docstring is not None:
        start = docstring.end()
    closing = CLOSING_LINE.search(text, start, end)
    if closing is not None:
        end = closing.start()
    return start, max(start, end)


async def _compute(site: Site, _which: int, ask: Ask) -> Outcome:
    hole, found = _hole(site), site.definition
    if hole is None or found is None:
        return None
    start, end = hole
    indent = found.indent + ("\t" if found.indent.startswith("\t") else _step(site.text))
    kept, opening = site.text[:start].rstrip(" \t\r\n"), site.line_end + indent
    filled = await ask.fill(kept + opening, site.text[end:], scope="block", max_tokens=192)
    body = filled.text.strip()
    if not body or STUB.fullmatch(body):
        return None
    return await if_well_formed(site, Edit(len(kept), end, opening + body), ask)


def _step(text: str) -> str:
    """Return one step of the file's own indentation."""
    found = re.search(r"(?m)^(\t| {2,8})\S", text)
    return found[1] if found else "    "


ACTION: Final = Action(
    name="completeBody",
    kind=REWRITE,
    titles=only("Write this body", lambda site: _hole(site) is not None),
    compute=_compute,
)
