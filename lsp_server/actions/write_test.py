"""Write a test of a function, into a new file beside the document, which the user sees first."""

from pathlib import PurePosixPath
from typing import Final

from lsp_server.actions.action import REWRITE, Action, Ask, NewFile, Outcome, Site, only
from lsp_server.actions.definitions import Definition
from lsp_server.actions.rewrite import code_in

LARGE_MODEL_BYTES: Final = 900_000_000
MAX_CHARACTERS: Final = 6_000
FRAMEWORKS: Final = {
    "python": ("pytest", "test_{}.py"),
    "javascript": ("node:test", "{}.test.js"),
    "typescript": ("vitest", "{}.test.ts"),
    "go": ("the testing package", "{}_test.go"),
}


def _tested(site: Site) -> Definition | None:
    found = site.definition if site.language in FRAMEWORKS else None
    if found is None or found.name.startswith("test") or found.end - found.start > MAX_CHARACTERS:
        return None
    return found


async def _compute(site: Site, _which: int, ask: Ask) -> Outcome:
    found = _tested(site)
    if found is None:
        return None
    framework, name = FRAMEWORKS[site.language]
    task = (
        f"Write a test of the function `{found.name}` with {framework}: two or three cases with "
        "literal values. Answer with the whole test file in one block and nothing else."
    )
    text = code_in(await ask.instruct(task, found.text_in(site.text), max_tokens=384))
    is_test = found.name in text and ("assert" in text or "expect" in text or "t.Error" in text)
    if not is_test or await ask.num_errors(text):
        return None
    return NewFile(PurePosixPath(name.format(found.name)).name, text + "\n")


ACTION: Final = Action(
    name="writeTest",
    kind=REWRITE,
    titles=only("Write a test for this function", lambda site: _tested(site) is not None),
    compute=_compute,
    is_instructed=True,
    min_model_bytes=LARGE_MODEL_BYTES,
)
