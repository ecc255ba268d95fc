"""Go on with a paragraph or a formula of Markdown or LaTeX."""

from typing import Final

from lsp_server.actions.action import REWRITE, Action, Ask, Edit, Outcome, Site, only

PROSE: Final = frozenset(
    ("markdown", "latex", "tex", "bibtex", "restructuredtext", "plaintext", "quarto")
)
MIN_BEFORE: Final = 20
"""Characters of text before the cursor: out of nothing nothing follows."""


def _goes_on(site: Site) -> bool:
    if site.language not in PROSE or site.start != site.end:
        return False
    behind = site.text[site.end :].split("\n", 1)[0]
    return not behind.strip() and len(site.text[: site.start].strip()) >= MIN_BEFORE


async def _compute(site: Site, _which: int, ask: Ask) -> Outcome:
    if not _goes_on(site):
        return None
    before, behind = site.text[: site.start], site.text[site.end :]
    filled = await ask.fill(before, behind, scope="block", max_tokens=96)
    text = filled.text.rstrip()
    return Edit(site.start, site.start, text) if text.strip() else None


ACTION: Final = Action(
    name="continueProse",
    kind=REWRITE,
    titles=only("Continue this text", _goes_on),
    compute=_compute,
)
