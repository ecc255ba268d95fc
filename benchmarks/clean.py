"""Whether what is shown fits where it stands: `python -m benchmarks.clean [--model NAME]`.

In real files of four languages that no model of ours was trained on (benchmarks.unread), counts
answers that an editor's user would have to repair:

    closers   cut out what stands between brackets, which the editor closed: one bracket too many
    loops     accept eight answers in a row: a line of words that was written five times or more
    crlf      the same places in the file with CRLF: a bare line feed in an answer; another answer
    tabs      the same files indented with tabs: an answer with a line that begins with blanks

Answers do not depend on the machine's speed. With --raw the rules of decoding/postprocess.py are
left out, which shows what they are for.
"""

import asyncio
import random
import re
from collections.abc import Iterator, Sequence
from typing import Final

import click
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.report import print_json, print_report
from benchmarks.unread import LANGUAGES, request_in, unread_files
from evaluation.sources import Source
from inference.decoding import completer
from inference.decoding.postprocess import Surroundings
from inference.serving.local import LocalEngine

HOLES_EACH: Final = 2
NUM_ACCEPTED: Final = 8
TOO_OFTEN: Final = 5
MAX_TOKENS: Final = 32
DEADLINE_MS: Final = 600_000
COUNTED: Final[tuple[str, ...]] = (
    *("closer_holes", "closers", "files", "loops"),
    *("answers", "crlf", "crlf_differs", "tab_answers", "tabs"),
)
IN_BRACKETS: Final = re.compile(r"\(([^()\n]{2,60})\)")
INDENT: Final = re.compile(r"^((?: {2})+)", re.MULTILINE)


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--files", "num_files", default=30, show_default=True, help="Of each language.")
@click.option("--raw", is_flag=True, help="Show what the model writes as it is.")
def main(model: str | None, num_files: int, *, raw: bool) -> None:
    if raw:
        completer.clean = _as_it_is
    sources = unread_files(num_files)
    counts = asyncio.run(_counted(model, sources))
    columns = list(next(iter(counts.values())))
    rows = {name: [str(value) for value in row.values()] for name, row in counts.items()}
    print_report(f"{num_files} files of each language", columns, rows)
    print_json("clean", {"files": len(sources), "raw": raw, "counts": counts})


def _as_it_is(text: str, around: Surroundings) -> str:
    del around
    return text.rstrip()


async def _counted(model: str | None, sources: Sequence[Source]) -> dict[str, dict[str, int]]:
    engine = LocalEngine.open(model)
    await loaded(engine)
    counts: dict[str, dict[str, int]] = {
        language: dict.fromkeys(COUNTED, 0) for language in LANGUAGES
    }
    with Progress() as progress:
        for source in progress.track(sources, description="answering"):
            chooser = random.Random(source.path)  # noqa: S311 - a sample of places
            row = counts[source.language]
            await _count_closers(engine, source, chooser, row)
            place = _line_starts(source.text, chooser)
            await _count_loops(engine, source, place, row)
            await _count_line_ends(engine, source, place, row)
            await _count_tabs(engine, source, chooser, row)
    await engine.close()
    return counts


async def _count_closers(
    engine: LocalEngine, source: Source, chooser: random.Random, row: dict[str, int]
) -> None:
    found = list(IN_BRACKETS.finditer(source.text))
    for match in chooser.sample(found, min(HOLES_EACH, len(found))):
        before, after = source.text[: match.start(1)], source.text[match.end(1) :]
        text = await _answer(engine, source, before, after)
        row["closer_holes"] += 1
        row["closers"] += any(True for _ in _unopened(text))


async def _count_loops(
    engine: LocalEngine, source: Source, place: int, row: dict[str, int]
) -> None:
    before, after = source.text[:place], source.text[place:]
    written = ""
    for _ in range(NUM_ACCEPTED):
        text = await _answer(engine, source, before + written, after)
        written += text or "\n"
    lines = [line.strip() for line in written.split("\n") if sum(map(str.isalpha, line)) >= 3]
    row["files"] += 1
    row["loops"] += any(lines.count(line) >= TOO_OFTEN for line in set(lines))


async def _count_line_ends(
    engine: LocalEngine, source: Source, place: int, row: dict[str, int]
) -> None:
    before, after = source.text[:place], source.text[place:]
    feeds = await _answer(engine, source, before, after)
    pairs = await _answer(engine, source, *(part.replace("\n", "\r\n") for part in (before, after)))
    row["answers"] += 1
    row["crlf"] += "\n" in pairs.replace("\r\n", "")
    row["crlf_differs"] += pairs.replace("\r\n", "\n") != feeds


async def _count_tabs(
    engine: LocalEngine, source: Source, chooser: random.Random, row: dict[str, int]
) -> None:
    text = INDENT.sub(lambda blanks: "\t" * (len(blanks[1]) // _step_of(source)), source.text)
    place = _line_starts(text, chooser)
    answer = await _answer(engine, source, text[:place], text[place:])
    row["tab_answers"] += 1
    row["tabs"] += any(line.startswith("  ") for line in answer.split("\n"))


async def _answer(engine: LocalEngine, source: Source, before: str, after: str) -> str:
    request = request_in(source, before, after, max_tokens=MAX_TOKENS)
    return (await engine.complete(replace(request, deadline_ms=DEADLINE_MS))).text


def _line_starts(text: str, chooser: random.Random) -> int:
    """Return the end of some line that says something: where Enter was pressed behind it."""
    ends = [match.end() for match in re.finditer(r"\w[^\n]*\n", text)]
    return chooser.choice(ends[len(ends) // 4 :])


def _step_of(source: Source) -> int:
    return 2 if source.language in {"javascript", "typescript"} else 4


def _unopened(text: str) -> Iterator[str]:
    """Yield the closing round brackets that nothing in the text opened."""
    depth = 0
    for mark in text:
        depth += (mark == "(") - (mark == ")")
        if depth < 0:
            yield mark
            depth = 0


if __name__ == "__main__":
    main()
