"""Explain a piece of code in words, beside it: nothing in the document changes."""

from typing import Final

from lsp_server.actions.action import EXPLAIN, Action, Ask, Outcome, Shown, Site, only

TASK: Final = (
    "Explain in a few plain sentences what this code does, for a programmer who reads it for the "
    "first time. Say what it takes and returns, and what is easily overlooked."
)
MAX_CHARACTERS: Final = 6_000


def _code(site: Site) -> str:
    if site.selected.strip():
        return site.selected[:MAX_CHARACTERS]
    found = site.definition
    return "" if found is None else found.text_in(site.text)[:MAX_CHARACTERS]


async def _compute(site: Site, _which: int, ask: Ask) -> Outcome:
    code = _code(site)
    said = (await ask.instruct(TASK, code, max_tokens=320)).strip()
    if not said:
        return None
    found = site.definition
    is_selection = found is None or bool(site.selected.strip())
    name = "selection" if found is None or is_selection else found.name
    at = site.start if found is None or is_selection else found.start
    return Shown(f"explanation of {name}.md", said, at)


ACTION: Final = Action(
    name="explain",
    kind=EXPLAIN,
    titles=only("Explain this code", lambda site: bool(_code(site).strip())),
    compute=_compute,
    is_instructed=True,
    edits=False,
)
