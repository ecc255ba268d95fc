"""Open the engines, run what is to be measured, close them again; progress goes to stderr."""

import contextlib
import os
import random
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evaluation.fill import Outcome, fill_all
from evaluation.holes import cut_holes
from evaluation.humaneval import (
    Problem,
    Solution,
    complete_all,
    read_problems,
    run_attempts,
)
from evaluation.report import Record, Run, earlier_run
from evaluation.sandbox import Isolation
from evaluation.sources import read_sources
from inference.engine import EngineState
from inference.errors import EngineUnavailableError, InvalidRequestError
from inference.package.manifest import Device
from inference.serving.local import LocalEngine

DEFAULT_HOLES: Final = 400

RecordT = TypeVar("RecordT", bound=Record)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`model` None is the one in use; `against` is a package, or a report of an earlier run."""

    model: str | None
    against: Path | None
    max_holes: int | None
    seed: int
    limit_tokens: int
    device: Device = "cpu"


async def measure_holes(options: Options, paths: Sequence[Path]) -> list[Run[Outcome]]:
    """Fill holes of the files with one model, or with two.

    Raises InvalidRequestError where there is nothing to fill, EngineUnavailableError,
    EvaluationError.
    """
    max_holes = options.max_holes or DEFAULT_HOLES
    holes = cut_holes(read_sources(paths), max_holes=max_holes, seed=options.seed)
    if not holes:
        raise InvalidRequestError("no holes can be cut there; name files or folders with code")
    earlier = _earlier_runs(options, Outcome, [hole.digest for hole in holes])
    async with _engines(options) as engines:
        with _progress("filling holes", len(holes)) as advance:
            filled = await fill_all(
                [engine for _, engine in engines],
                holes,
                limit_tokens=options.limit_tokens,
                advance=advance,
            )
    runs = zip(engines, filled, strict=True)
    return [*(Run(name, outcomes) for (name, _), outcomes in runs), *earlier]


async def measure_problems(
    options: Options, path: Path, isolation: Isolation
) -> list[Run[Solution]]:
    """Fill and run the benchmark's problems with one model, or with two.

    Raises InvalidRequestError, EngineUnavailableError, EvaluationError.
    """
    problems = _sample(read_problems(path), options)
    earlier = _earlier_runs(options, Solution, [problem.task_id for problem in problems])
    async with _engines(options) as engines:
        with _progress("filling problems", len(problems)) as advance:
            attempts = await complete_all(
                [engine for _, engine in engines],
                problems,
                limit_tokens=options.limit_tokens,
                advance=advance,
            )
    runs: list[Run[Solution]] = []
    for (name, _), made in zip(engines, attempts, strict=True):
        with _progress("running programs", len(made)) as advance:
            num_workers = os.cpu_count() or 1
            solutions = run_attempts(made, isolation, num_workers=num_workers, advance=advance)
        runs.append(Run(name, solutions))
    return [*runs, *earlier]


def _sample(problems: list[Problem], options: Options) -> list[Problem]:
    if options.max_holes is None or options.max_holes >= len(problems):
        return problems
    return random.Random(options.seed).sample(problems, options.max_holes)  # noqa: S311


def _earlier_runs(
    options: Options, record_type: type[RecordT], hole_ids: Sequence[str]
) -> list[Run[RecordT]]:
    """Read the report to compare with, if it is one; before hours are spent on ours."""
    if options.against is None or not options.against.is_file():
        return []
    run = earlier_run(options.against, record_type)
    if [record.hole_id for record in run.records] != list(hole_ids):
        raise InvalidRequestError(
            f"{options.against} was made with other holes; use the same files, --seed and "
            "--max-holes"
        )
    return [run]


@contextlib.asynccontextmanager
async def _engines(options: Options) -> AsyncGenerator[list[tuple[str, LocalEngine]]]:
    """Load one package or two; yield their names and engines."""
    models = [options.model]
    if options.against is not None and not options.against.is_file():
        models.append(str(options.against))
    engines = [LocalEngine.open(model, device=options.device) for model in models]
    try:
        yield [
            (await _name(engine, model), engine)
            for engine, model in zip(engines, models, strict=True)
        ]
    finally:
        for engine in engines:
            await engine.close()


async def _name(engine: LocalEngine, model: str | None) -> str:
    status = await engine.wait_ready()
    if status.state is not EngineState.READY:
        raise EngineUnavailableError(status.message)
    return f"{status.model} ({model})" if model else status.model


@contextlib.contextmanager
def _progress(description: str, total: int) -> Generator[Callable[[], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)
