"""Show the main job: `python docs/demo.py [MODEL]`, as `make demo` does.

The model that ships completes some holes at once. Then a real one is added where a source answers,
is kept for the next time, and completes the same holes. "embedded" does the first half alone.
"""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference.completion import Completion, CompletionRequest
from inference.engine import EngineState
from inference.errors import EngineUnavailableError
from inference.package.store import EMBEDDED, installed
from inference.serving.local import LocalEngine

DEFAULT_MODEL: Final = "qwen2.5-coder-0.5b"


class Hole(msgspec.Struct, frozen=True):
    """A file around a cursor."""

    title: str
    prefix: str
    suffix: str


HOLES: Final = (
    Hole(
        "a function that reverses a string",
        'def reverse_string(text: str) -> str:\n    """Return the text reversed."""\n    ',
        "\n\n\ndef main() -> None:\n    print(reverse_string('abc'))\n",
    ),
    Hole(
        "an attribute",
        "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = ",
        "\n",
    ),
    Hole(
        "the middle of a line",
        "import json\nfrom pathlib import Path\n\n\ndef load(path: Path) -> dict:\n"
        "    return json.loads(path.",
        ")\n",
    ),
    Hole(
        "a loop",
        "def total_price(items, tax):\n    total = 0\n    for item in items:\n        ",
        "\n    return total * (1 + tax)\n",
    ),
)


def main(model: str = DEFAULT_MODEL) -> None:
    console = Console()
    answers = [(EMBEDDED, asyncio.run(complete_all(EMBEDDED)))]
    console.print(_table(answers))
    if model == EMBEDDED:
        return
    if model not in installed() and not _add(model):
        console.print(f"{model} could not be added here; the model that ships goes on completing")
        return
    answers.append((model, asyncio.run(complete_all(model))))
    console.print(_table(answers))


async def complete_all(model: str) -> Sequence[Completion]:
    """Load a model and complete every hole."""
    engine = LocalEngine.open(model)
    try:
        status = await engine.wait_ready()
        if status.state is not EngineState.READY:
            raise EngineUnavailableError(status.message)
        return [await engine.complete(_request(hole)) for hole in HOLES]
    finally:
        await engine.close()


def _request(hole: Hole) -> CompletionRequest:
    return CompletionRequest(
        document=hole.title,
        prefix=hole.prefix,
        suffix=hole.suffix,
        language="python",
        deadline_ms=60_000,
    )


def _add(model: str) -> bool:
    command = [sys.executable, "-m", "inkling", "model", "add", model, "--no-use"]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - ours


def _table(answers: Sequence[tuple[str, Sequence[Completion]]]) -> Table:
    table = Table("hole", *(name for name, _ in answers), show_lines=True)
    for index, hole in enumerate(HOLES):
        cells = [_cell(hole, completions[index]) for _, completions in answers]
        table.add_row(hole.title, *cells)
    return table


def _cell(hole: Hole, completion: Completion) -> Text:
    before = "\n".join(hole.prefix.split("\n")[-2:])
    after = hole.suffix.split("\n")[0]
    timings = completion.timings
    told = f"\nfirst token {timings.first_token_ms:.0f} ms, all {timings.total_ms:.0f} ms"
    if not completion.text:
        told = "\nnothing: silence is an answer"
    return Text.assemble(before, (completion.text, "italic green"), after, (told, "dim"))


if __name__ == "__main__":
    main(*sys.argv[1:])
