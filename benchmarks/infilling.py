"""HumanEval's single-line holes: a package, and llama.cpp on the GGUF that it was made of.

`python -m benchmarks.infilling GGUF PROBLEMS [--model NAME] [--max-holes N]` fills each hole with
the package and with llama.cpp in both orders, in turns, runs every program, and prints one JSON
object last. PROBLEMS is the file of human-eval-infilling. Needs xllamacpp (the group `parity`).

The figures are those of `inkling eval --humaneval-infilling` (docs/evaluation.md). Holes come one
after another, and none shares its beginning with the one before.
"""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.progress import Progress

from benchmarks.peers import LlamaCppFiller, open_server
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
from inference.engine import EngineState
from inference.runtime.processor import num_physical_cores
from inference.serving.local import LocalEngine

MAX_TOKENS = 64


@click.command()
@click.argument("gguf", type=click.Path(path_type=Path, exists=True))
@click.argument("problems", type=click.Path(path_type=Path, exists=True))
@click.option("--model", default="qwen2.5-coder-0.5b", show_default=True)
@click.option("--max-holes", type=int, help="A sample of so many; all 1,033 if not given.")
@click.option("--seed", default=0, show_default=True)
def main(gguf: Path, problems: Path, model: str, max_holes: int | None, seed: int) -> None:
    isolation = find_isolation()
    holes = read_problems(problems)
    if max_holes is not None:
        holes = random.Random(seed).sample(holes, max_holes)  # noqa: S311 - a sample of holes
    server = open_server(gguf, num_threads=num_physical_cores())
    peers = {
        "llama.cpp, psm": LlamaCppFiller(server, "psm"),
        "llama.cpp, spm": LlamaCppFiller(server, "spm"),
    }
    made = asyncio.run(_filled(model, peers, holes))
    workers = os.cpu_count() or 1
    solved = {
        name: run_attempts(attempts, isolation, num_workers=workers, advance=lambda: None)
        for name, attempts in made.items()
    }
    measured = {name: figures_of(solutions, FIGURES) for name, solutions in solved.items()}
    columns = [figure.heading.replace("\n", " ") for figure in FIGURES]
    rows = {
        name: [spelled(figure, found[figure.name]) for figure in FIGURES]
        for name, found in measured.items()
    }
    print_report(f"{len(holes)} single-line holes of HumanEval", columns, rows)
    print_json("infilling", {"holes": len(holes), "seed": seed, "engines": measured})


async def _filled(
    model: str, peers: Mapping[str, MeasuredEngine], holes: Sequence[Problem]
) -> dict[str, list[Attempt]]:
    engine = LocalEngine.open(model)
    status = await engine.wait_ready()
    if status.state is not EngineState.READY:
        raise click.ClickException(status.message)
    engines: dict[str, MeasuredEngine] = {f"inkling, {status.model}": engine, **peers}
    try:
        with Progress() as progress:
            task = progress.add_task("filling", total=len(holes))
            attempts = await complete_all(
                list(engines.values()),
                list(holes),
                limit_tokens=MAX_TOKENS,
                advance=lambda: progress.advance(task),
            )
    finally:
        await engine.close()
    return dict(zip(engines, attempts, strict=True))


if __name__ == "__main__":
    main()
