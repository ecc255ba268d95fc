"""HumanEval's single-line holes: packages, and llama.cpp on the GGUF that they were made of.

`python -m benchmarks.infilling GGUF PROBLEMS [--model NAME]... [--max-holes N] [--keep FILE]` fills
each hole with each package and with llama.cpp in both orders, runs every program, and prints one
JSON object last. PROBLEMS is the file of human-eval-infilling. Needs xllamacpp (the group
`parity`).

Each engine is a process of its own, since threads of one that is done go on spinning for a while.
They take turns of a few holes, so that a noisy machine is noisy for all of them alike. `--keep`
writes answers down as they come, and a run that was broken off goes on from there.

The figures are those of `inkling eval --humaneval-infilling` (docs/evaluation.md). Holes come in
random order, and hardly one shares its beginning with the one before.
"""

import asyncio
import multiprocessing
import os
import random
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, get_args

import click
import msgspec
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.kept import Kept
from benchmarks.peers import LlamaCppFiller, Order, open_server
from benchmarks.report import print_json, print_report
from evaluation.figures import figures_of
from evaluation.fill import MeasuredEngine
from evaluation.humaneval import (
    FIGURES,
    Attempt,
    Problem,
    complete_all,
    read_problems,
    run_attempts,
)
from evaluation.report import spelled
from evaluation.sandbox import find_isolation
from inference.runtime.processor import num_physical_cores
from inference.serving.host import die_with
from inference.serving.local import LocalEngine

MAX_TOKENS: Final = 64
TURN: Final = 8
"""Holes that an engine fills before the next one's turn."""


class Kind(msgspec.Struct, frozen=True):
    """What a process opens: a package by name or folder, or llama.cpp on a file in an order."""

    source: str
    order: Order | None = None

    @property
    def name(self) -> str:
        return f"inkling, {self.source}" if self.order is None else f"llama.cpp, {self.order}"


class Answer(msgspec.Struct, frozen=True):
    """One line of what `--keep` writes."""

    engine: str
    attempt: Attempt


@click.command()
@click.argument("gguf", type=click.Path(path_type=Path, exists=True))
@click.argument("problems", type=click.Path(path_type=Path, exists=True))
@click.option("--model", "models", multiple=True, default=("qwen2.5-coder-0.5b",))
@click.option("--peers/--no-peers", default=True, show_default=True, help="llama.cpp as well.")
@click.option("--max-holes", type=int, help="A sample of so many; all 1,033 if not given.")
@click.option("--seed", default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Write answers down, or go on.")
def main(  # noqa: PLR0913 - one parameter an option
    gguf: Path,
    problems: Path,
    models: tuple[str, ...],
    *,
    peers: bool,
    max_holes: int | None,
    seed: int,
    keep: Path | None,
) -> None:
    holes = sampled(problems, max_holes, seed)
    kinds = [Kind(model) for model in models]
    if peers:
        kinds += [Kind(str(gguf), order) for order in get_args(Order)]
    measured = solved(fill_in_turns(kinds, holes, keep))
    columns = [figure.heading.replace("\n", " ") for figure in FIGURES]
    rows = {
        name: [spelled(figure, found[figure.name]) for figure in FIGURES]
        for name, found in measured.items()
    }
    print_report(f"{len(holes)} single-line holes of HumanEval", columns, rows)
    print_json("infilling", {"holes": len(holes), "seed": seed, "engines": measured})


def sampled(problems: Path, max_holes: int | None, seed: int = 0) -> list[Problem]:
    """Return the first of all holes in random order, so that fewer are a part of more."""
    holes = read_problems(problems)
    random.Random(seed).shuffle(holes)  # noqa: S311 - a sample of holes
    return holes[:max_holes]


def solved(made: Mapping[str, Sequence[Attempt]]) -> dict[str, dict[str, float | None]]:
    """Run the programs of all attempts; return the figures of each engine."""
    isolation, workers = find_isolation(), os.cpu_count() or 1
    return {
        name: figures_of(
            run_attempts(attempts, isolation, num_workers=workers, advance=lambda: None), FIGURES
        )
        for name, attempts in made.items()
    }


def fill_in_turns(
    kinds: Sequence[Kind], holes: Sequence[Problem], keep: Path | None
) -> Mapping[str, Sequence[Attempt]]:
    """Return each engine's attempts at all holes, those that were kept among them."""
    kept = Kept(keep, Answer, lambda one: (one.engine, one.attempt.problem.task_id))
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        task = progress.add_task("filling", total=len(kinds) * len(holes))
        processes = {
            kind.name: stack.enter_context(
                ProcessPoolExecutor(1, context, initializer=_open, initargs=(kind, os.getpid()))
            )
            for kind in kinds
        }
        for start in range(0, len(holes), TURN):
            turn = holes[start : start + TURN]
            for name, process in processes.items():
                unknown = [hole for hole in turn if (name, hole.task_id) not in kept]
                for attempt in process.submit(_fill, unknown).result():
                    kept.add(Answer(name, attempt))
                progress.advance(task, len(turn))
    return {kind.name: [kept[kind.name, hole.task_id].attempt for hole in holes] for kind in kinds}


class _Opened:
    """The engine of this process, and the loop that it runs in."""

    engine: MeasuredEngine
    loop: asyncio.AbstractEventLoop


def _open(kind: Kind, parent: int) -> None:
    if sys.platform == "linux":
        die_with(parent)  # a run that is broken off computes no further
    _Opened.loop = asyncio.new_event_loop()
    _Opened.engine = _Opened.loop.run_until_complete(_engine(kind))


async def _engine(kind: Kind) -> MeasuredEngine:
    if kind.order is not None:
        return LlamaCppFiller(
            open_server(Path(kind.source), num_threads=num_physical_cores()), kind.order
        )
    engine = LocalEngine.open(kind.source)
    await loaded(engine)
    return engine


def _fill(holes: Sequence[Problem]) -> Sequence[Attempt]:
    filled = complete_all([_Opened.engine], holes, limit_tokens=MAX_TOKENS, advance=lambda: None)
    (attempts,) = _Opened.loop.run_until_complete(filled)
    return attempts


if __name__ == "__main__":
    main()
