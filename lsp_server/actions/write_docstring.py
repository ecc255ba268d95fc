"""Write the documentation of a function, in the style that the file has."""

import re
from typing import Final

from inference import Documentation, language_for
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
from lsp_server.actions.complete_body import DOCSTRING
from lsp_server.actions.definitions import Definition

DOUBLE: Final = '"""'
SINGLE: Final = "'''"
TASK: Final = (
    "Say in one short sentence, in the imperative, what this function does and what it returns. "
    "Answer with that sentence alone, without code and without quotes."
)
MAX_CHARACTERS: Final = 4_000
SUBJECT: Final = re.compile(
    r"(?i)^(?:the|this) (?:(?:function|method) )?(?:`[^`]*` |\w+\([^)]*\) )?(?:function |method )?"
    r"(?=\w+s\b)"
)
"""Models say of what they speak, which stands right above."""

MIN_WORDS: Final = 8
"""Characters of a sentence that says something."""


def _style(site: Site) -> Documentation | None:
    """Return the language's style; where a file quotes its documentation otherwise, the file's."""
    style = language_for(site.language).documentation
    is_single = DOUBLE not in site.text and SINGLE in site.text
    if style is not None and style.opens == DOUBLE and is_single:
        return Documentation(opens=SINGLE, closes=SINGLE, inside=style.inside)
    return style


def _undocumented(site: Site) -> Definition | None:
    style, found = _style(site), site.definition
    if style is None or found is None:
        return None
    if style.inside:
        return None if DOCSTRING.match(site.text, found.body) else found
    above = site.text[: found.start].rstrip("\r\n").rsplit("\n", 1)[-1].strip()
    is_documented = above.endswith("*/") or above.startswith(style.opens.strip())
    return None if is_documented else found


async def _compute(site: Site, _which: int, ask: Ask) -> Outcome:
    style, found = _style(site), _undocumented(site)
    if style is None or found is None:
        return None
    if style.inside:
        body = site.text[found.body :]
        place = found.body
        indent = body[: len(body) - len(body.lstrip(" \t"))] or found.indent + "    "
    else:
        place, indent = found.start, found.indent
    opening = indent + style.opens
    told = await ask.instruct(TASK, found.text_in(site.text)[:MAX_CHARACTERS], max_tokens=64)
    said = _cleaned(told, style)
    if not said:
        before, behind = (
            site.text[:place] + opening,
            style.closes + site.line_end + site.text[place:],
        )
        filled = await ask.fill(before, behind, scope="line", max_tokens=48)
        said = _cleaned(filled.text, style)
    if len(said) < MIN_WORDS:
        return None
    text = f"{opening}{said}{style.closes}{site.line_end}"
    return await if_well_formed(site, Edit(place, place, text), ask)


def _cleaned(text: str, style: Documentation) -> str:
    """Return one line of words, without what would close the documentation."""
    marks = re.escape(style.closes.strip() or style.opens.strip())
    said = re.split(rf"{marks}|```|\n\s*\n", text.strip(" \"'\n"))[0].strip(" \"'")
    sentence = re.split(r"(?<=[.!?])\s", " ".join(said.split()))[0]
    sentence = SUBJECT.sub("", sentence)
    return sentence[:1].upper() + sentence[1:]


ACTION: Final = Action(
    name="writeDocstring",
    kind=REWRITE,
    titles=only("Document this function", lambda site: _undocumented(site) is not None),
    compute=_compute,
)
