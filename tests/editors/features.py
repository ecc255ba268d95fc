"""What a client of ours does, and the table of which test saw it in which editor.

A test says what it shows with `@pytest.mark.shows(FEATURE)`; the fixture `identity` of its folder
names the editor that it runs in. `pytest -m editor --write-table` writes docs/editors.md's table.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

FEATURES: Final = (
    "ghost text",
    "accept all",
    "accept word",
    "accept line",
    "next, previous",
    "typed through",
    "menu keeps its keys",
    "completion",
    "code action",
    "status",
    "restart",
    "model switch",
)

BEGIN: Final = "<!-- what the tests saw -->"
END: Final = "<!-- end -->"


class Identity(NamedTuple):
    """An editor as it names itself, such as ("Neovim", "0.10.4")."""

    editor: str
    version: str


Outcomes = Mapping[tuple[Identity, str], bool]
"""Whether all tests that show a feature in an editor passed."""


def table(outcomes: Outcomes) -> str:
    identities = sorted({identity for identity, _ in outcomes})
    shown = [name for name in FEATURES if any(feature == name for _, feature in outcomes)]
    rows = [["editor", *shown], ["---", *["---"] * len(shown)]]
    for identity in identities:
        cells = [_cell(outcomes.get((identity, feature))) for feature in shown]
        rows.append([f"{identity.editor} {identity.version}", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(document: Path, outcomes: Outcomes) -> None:
    """Replace what stands between the marks of `document`."""
    text = document.read_text("utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    document.write_text(f"{head}{BEGIN}\n{table(outcomes)}\n{END}{tail}", "utf-8")


def unknown(features: Iterable[str]) -> list[str]:
    return [feature for feature in features if feature not in FEATURES]


def _cell(passed: bool | None) -> str:
    if passed is None:
        return ""
    return "yes" if passed else "failed"
