"""`inkling eval`: how good a model is at filling holes in your code, or in a public benchmark."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar, get_args

import click
import msgspec
from rich.console import Console

from evaluation import fill, humaneval
from evaluation.figures import Figure
from evaluation.measure import (
    DEFAULT_HOLES,
    Options,
    measure_holes,
    measure_problems,
)
from evaluation.plot import check_can_plot, plot
from evaluation.report import Record, Report, difference_table, report, table
from evaluation.sandbox import find_isolation
from inference.errors import InvalidRequestError
from inference.package.manifest import Device

RecordT = TypeVar("RecordT", bound=Record)

FILE_WIDTH: Final = 120

ISOLATIONS: Final = {
    "namespace": "in a network namespace without a network",
    "refusal": "with sockets refused; this machine permits no network namespace",
}


@click.command("eval")
@click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path(path_type=Path))
@click.option(
    "--humaneval-infilling",
    "problems",
    type=click.Path(path_type=Path),
    help="Measure on this file of the single-line infilling benchmark instead of PATH.",
)
@click.option(
    "--model",
    envvar="INKLING_MODEL",
    help="A name of `inkling model list`, or a package's folder; default the one in use.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="A second package on the same holes, or what --json printed of an earlier run.",
)
@click.option(
    "--max-holes",
    type=click.IntRange(1),
    help=f"At most so many; {DEFAULT_HOLES} if not given, all problems of a benchmark.",
)
@click.option("--seed", default=0, show_default=True, help="Another seed draws other holes.")
@click.option(
    "--limit-tokens",
    default=128,
    show_default=True,
    type=click.IntRange(1, 512),
    help="At most so many tokens in a hole.",
)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(get_args(Device)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="Draw a picture.")
def evaluate(  # noqa: PLR0913 - one parameter an option
    *,
    paths: tuple[Path, ...],
    problems: Path | None,
    model: str | None,
    against: Path | None,
    max_holes: int | None,
    seed: int,
    limit_tokens: int,
    device: Device,
    as_json: bool,
    picture: Path | None,
) -> None:
    """Cut holes into the files of PATH..., fill them, and say how well.

    docs/evaluation.md says what each figure means.
    """
    if bool(paths) == (problems is not None):
        raise InvalidRequestError(
            "name files or folders, or --humaneval-infilling FILE: one of both"
        )
    if picture is not None:
        check_can_plot(picture)
    options = Options(
        model=model,
        against=against,
        max_holes=max_holes,
        seed=seed,
        limit_tokens=limit_tokens,
        device=device,
    )
    if problems is None:
        _evaluate_holes(options, paths, picture, as_json=as_json)
    else:
        _evaluate_problems(options, problems, picture, as_json=as_json)


def _evaluate_holes(
    options: Options, paths: Sequence[Path], picture: Path | None, *, as_json: bool
) -> None:
    runs = asyncio.run(measure_holes(options, paths))
    found = report(runs, fill.FIGURES, _settings(options, "holes"), seed=options.seed)
    _show(found, fill.FIGURES, picture, as_json=as_json)


def _evaluate_problems(
    options: Options, problems: Path, picture: Path | None, *, as_json: bool
) -> None:
    isolation = find_isolation()
    runs = asyncio.run(measure_problems(options, problems, isolation))
    settings = {**_settings(options, "humaneval_infilling"), "isolation": isolation}
    found = report(runs, humaneval.FIGURES, settings, seed=options.seed)
    _show(found, humaneval.FIGURES, picture, as_json=as_json)
    if not as_json:
        counts = humaneval.verdict_counts(found.records)
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        click.echo(f"programs ran {ISOLATIONS[isolation]}: {verdicts}")


def _settings(options: Options, benchmark: str) -> dict[str, str | int | None]:
    return {
        "benchmark": benchmark,
        "max_holes": options.max_holes,
        "seed": options.seed,
        "limit_tokens": options.limit_tokens,
        "device": options.device,
    }


def _show(
    found: Report[RecordT], figures: Sequence[Figure], picture: Path | None, *, as_json: bool
) -> None:
    models = [(found.model, found.rows)]
    if found.against is not None:
        models.append((found.against.model, found.against.rows))
    if picture is not None:
        plot(picture, models, figures)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    for name, rows in models:
        console.print(table(name, rows, figures))
    if found.against is not None:
        title = f"{found.model} minus {found.against.model}"
        console.print(difference_table(title, found.against.differences[0], figures))
