"""What the user's other files are worth: `python -m benchmarks.recall [--model NAME]`.

In real files of four languages that no model of ours was trained on (benchmarks.unread), takes away
the rest of a line and asks for it as an editor does: alone, and with the other files of the package
remembered, as evidence for what comes next, shown before the hole, or both.

    perfect    the line is the one that stood there
    ms         to answer, median and quartile spread; the file itself has been read
    index      bytes of the index for a byte of source, and seconds to make it for all packages

`--keep FILE` goes on where it was; no text is kept.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, Literal, get_args

import click
import msgspec
import numpy as np
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.kept import Kept
from benchmarks.report import print_json, print_report, summary
from benchmarks.unread import package_files, request_in, unread_files
from evaluation.fill import DEADLINE_MS, answer
from evaluation.holes import KINDS, Hole, drawn_from
from evaluation.similarity import is_perfect_line
from evaluation.sources import Source
from inference.package.manifest import TOKENIZER_FILE
from inference.package.store import find_model
from inference.recall.index import TokenIndex
from inference.recall.memory import Memory
from inference.runtime.tokenizer import Tokenizer
from inference.serving.local import LocalEngine

MAX_TOKENS: Final = 48
LINE_TAILS: Final = KINDS[0]

With = Literal["alone", "evidence", "shown", "both"]
KINDS_OF_ASKING: Final = get_args(With)


_EVIDENCE: Final = ("evidence", "both")
_SHOWN: Final = ("shown", "both")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    hole_id: str
    language: str
    asked: With
    is_perfect: bool
    ms: float


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--holes", "num_each", default=50, show_default=True, help="Of each language.")
@click.option("--files", "num_files", default=30, show_default=True, help="Of each language.")
@click.option("--keep", type=click.Path(dir_okay=False, path_type=Path), help="Goes on from it.")
def main(model: str | None, num_each: int, num_files: int, keep: Path | None) -> None:
    sources = unread_files(num_files)
    holes = drawn_from(sources, LINE_TAILS, num_each, seed=0)
    packages = package_files({package_of(hole.source) for hole in holes})
    asked = asyncio.run(_ask(model, holes, packages, keep))
    index = _index(model, packages)
    languages = sorted({one.language for one in asked})
    figures = {
        kind: _figures([one for one in asked if one.asked == kind], languages)
        for kind in KINDS_OF_ASKING
    }
    rows = {name: [_cell(value) for value in row.values()] for name, row in figures.items()}
    print_report(f"{len(holes)} lines", list(figures["alone"]), rows)
    print_report("the index", list(index), {"": [f"{value:.3g}" for value in index.values()]})
    print_json("recall", {"lines": len(holes), "answers": figures, "index": index})


def package_of(source: Source) -> str:
    return source.path.partition("/")[0]


def _figures(asked: Sequence[Asked], languages: Sequence[str]) -> dict[str, float]:
    by_language = {
        language: _share([one.is_perfect for one in asked if one.language == language])
        for language in languages
    }
    times = summary([one.ms for one in asked])
    perfect = _share([one.is_perfect for one in asked])
    return {"perfect": perfect, **by_language, "ms": times["median"], "spread": times["spread"]}


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / max(1, len(flags)), 4)


def _cell(value: float) -> str:
    return f"{value:.1%}" if value <= 1 else f"{value:.1f}"


async def _ask(
    model: str | None,
    holes: Sequence[Hole],
    packages: Mapping[str, Sequence[Source]],
    keep: Path | None,
) -> list[Asked]:
    kept, asked = Kept(keep, Asked, lambda one: (one.hole_id, one.asked)), list[Asked]()
    memory = Memory()
    engine = LocalEngine.open(model, memory=memory)
    await loaded(engine)
    by_package = defaultdict[str, list[Hole]](list)
    for hole in holes:
        by_package[package_of(hole.source)].append(hole)
    with Progress() as progress:
        task = progress.add_task("answering", total=len(holes) * len(KINDS_OF_ASKING))
        for name, members in by_package.items():
            for source in packages[name]:
                engine.remember(source.path, source.text)
            await engine.wait_remembered()
            for kind in KINDS_OF_ASKING:
                memory.recalls, memory.shows = kind in _EVIDENCE, kind in _SHOWN
                for hole in members:
                    found = kept.get((hole.digest, kind))
                    if found is None:
                        found = kept.add(await _answered(engine, hole, kind))
                    asked.append(found)
                    progress.advance(task)
            for source in packages[name]:
                engine.remember(source.path, None)
    await engine.close()
    return asked


async def _answered(engine: LocalEngine, hole: Hole, kind: With) -> Asked:
    """Ask twice: what counts is the time once the file was read."""
    request = replace(
        request_in(hole.source, hole.prefix, hole.suffix, max_tokens=MAX_TOKENS),
        scope="line",
        deadline_ms=DEADLINE_MS,
    )
    await answer(engine, request)
    completion = await answer(engine, request)
    return Asked(
        hole_id=hole.digest,
        language=hole.source.language,
        asked=kind,
        is_perfect=is_perfect_line(completion.text, hole.removed),
        ms=completion.timings.total_ms,
    )


def _index(model: str | None, packages: Mapping[str, Sequence[Source]]) -> dict[str, float]:
    path = find_model(model).folder / TOKENIZER_FILE
    tokenizer = Tokenizer.load(path, named=frozenset())
    sources = [source for files in packages.values() for source in files]
    texts = {one.path: np.array(tokenizer.encode(one.text), np.int32) for one in sources}
    started = perf_counter()
    index = TokenIndex(texts)
    seconds = perf_counter() - started
    num_bytes = sum(len(source.text.encode()) for source in sources)
    return {
        "source MB": num_bytes / 1e6,
        "tokens": index.num_tokens,
        "bytes a byte": index.num_bytes / num_bytes,
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
