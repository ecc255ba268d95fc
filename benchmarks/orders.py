"""Which layout of a hole a model fills best: `python -m benchmarks.orders [--model NAME]`.

One package, shown each hole in every layout that its tokens allow: prefix first, suffix first, and
prefix first with a tail (inference/fim.py). The holes are those of `inkling eval`, cut into files
of four languages that no model of ours was trained on (benchmarks.unread). Layouts take turns at
each hole. With PROBLEMS, human-eval-infilling's file, its single-line holes are filled as well.

For each language and layout: bits a byte of what was taken out, perfect lines, and how both differ
from the package's own layout, with the interval of 95 % of a paired bootstrap. The last line is one
JSON object; `--write` puts the table into docs/export.md.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.infilling import sampled
from benchmarks.report import print_json, print_report, write_table
from benchmarks.unread import unread_files
from evaluation.figures import Difference, Ratio, differences, figures_of
from evaluation.fill import Outcome, fill_all
from evaluation.holes import cut_holes
from evaluation.humaneval import Problem, Solution, complete_all, run_attempts
from evaluation.sandbox import find_isolation
from evaluation.sources import Source
from export.package.fim_conventions import CONVENTIONS, NUM_TAIL_TOKENS
from inference.decoding.loaded import LoadedModel
from inference.fim import FimTemplate
from inference.package.store import find_model
from inference.serving.local import LocalEngine, load_package

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "export.md"
COMMAND: Final = "python -m benchmarks.orders --write"
LIMIT_TOKENS: Final = 64
NUM_FILES: Final = 20
"""Of each language."""

NUM_LINES: Final = 120
"""Of each file, from its middle: a whole window takes ten seconds to read, and so many as much as
most prompts have."""

BITS: Final = Ratio("bits_per_byte", "bits a byte", "bits", "num_bytes", is_share=False)
PERFECT: Final = Ratio("perfect_line", "perfect lines %", "perfect_line")
PASSED: Final = Ratio("passed", "pass@1 %", "passed")
COLUMNS: Final = ("holes", "bits a byte", "own minus these", "right %", "own minus this")


@click.command()
@click.argument("problems", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--holes", default=400, show_default=True, help="In real files; 0 for none.")
@click.option("--max-problems", type=int, help="A sample of so many; all 1,033 if not given.")
@click.option("--write", is_flag=True, help=f"Put the table into docs/{DOCUMENT.name}.")
def main(
    problems: Path | None, *, model: str | None, holes: int, max_problems: int | None, write: bool
) -> None:
    engines = opened(model)
    names = list(engines)
    figures = dict[tuple[str, str], Compared]()
    if holes:
        filled = asyncio.run(_filled(list(engines.values()), holes))
        for language in ("all", *_languages(filled[0])):
            counts = _of_language(language)
            for name, outcomes in zip(names, filled, strict=True):
                figures[language, name] = compared(counts, filled[0], outcomes)
    if problems is not None:
        solved = asyncio.run(_solved(list(engines.values()), sampled(problems, max_problems)))
        for name, found in zip(names, solved, strict=True):
            figures["HumanEval", name] = _passed(solved[0], found)
    asyncio.run(_close(list(engines.values())))
    rows = {f"{group}, {name}": _spelled(row) for (group, name), row in figures.items()}
    title = f"`{find_model(model).folder.name}`, {holes} holes, the package's own layout first."
    print_report(title, COLUMNS, rows)
    if write:
        write_table(DOCUMENT, COMMAND, title, COLUMNS, rows)
    found = {", ".join(key): msgspec.to_builtins(row) for key, row in figures.items()}
    print_json("orders", {"figures": found})


def layouts(fim: FimTemplate) -> dict[str, FimTemplate]:
    """Return the package's own layout, and then the others that its convention knows."""
    convention = next(one for one in CONVENTIONS if one.name == fim.convention)
    found = {"tail" if fim.num_tail_tokens else fim.order: fim}
    for order in convention.orders:
        found.setdefault(order, replace(fim, order=order, num_tail_tokens=0))
    if "psm" in found:
        found.setdefault("tail", replace(fim, order="psm", num_tail_tokens=NUM_TAIL_TOKENS))
    return found


def opened(model: str | None) -> dict[str, LocalEngine]:
    """Open an engine for each layout. Raises ClickException where the model fills no holes."""
    package = load_package(find_model(model).folder)
    if package.fim is None:
        raise click.ClickException(f"{package.name} fills no holes")
    return {
        name: LocalEngine(_loading(replace(package, fim=fim)))
        for name, fim in layouts(package.fim).items()
    }


def _loading(package: LoadedModel) -> Callable[[], LoadedModel]:
    return lambda: package


async def _filled(engines: Sequence[LocalEngine], num_holes: int) -> list[list[Outcome]]:
    for engine in engines:
        await loaded(engine)
    sources = [_middle(source) for source in unread_files(NUM_FILES)]
    holes = cut_holes(sources, max_holes=num_holes, seed=0)
    with Progress() as progress:
        task = progress.add_task("filling", total=len(holes))
        return await fill_all(
            engines, holes, limit_tokens=LIMIT_TOKENS, advance=lambda: progress.advance(task)
        )


def _middle(source: Source) -> Source:
    lines = source.text.split("\n")
    first = max(0, (len(lines) - NUM_LINES) // 2)
    return replace(source, text="\n".join(lines[first : first + NUM_LINES]))


async def _solved(
    engines: Sequence[LocalEngine], problems: Sequence[Problem]
) -> list[Sequence[Solution]]:
    with Progress() as progress:
        task = progress.add_task("HumanEval", total=len(problems))
        made = await complete_all(
            engines, problems, limit_tokens=LIMIT_TOKENS, advance=lambda: progress.advance(task)
        )
    isolation = find_isolation()
    return [
        run_attempts(attempts, isolation, num_workers=2, advance=lambda: None) for attempts in made
    ]


async def _close(engines: Sequence[LocalEngine]) -> None:
    for engine in engines:
        await engine.close()


def _languages(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield from sorted({outcome.language for outcome in outcomes})


def _of_language(language: str) -> Callable[[Outcome], bool]:
    return lambda outcome: language in ("all", outcome.language)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A layout's figures, and the package's own minus them; of HumanEval `right` is pass@1."""

    holes: int
    right: float | None
    right_difference: Difference
    bits_per_byte: float | None = None
    bits_difference: Difference | None = None


def compared(
    counts: Callable[[Outcome], bool], own: Sequence[Outcome], other: Sequence[Outcome]
) -> Compared:
    chosen = [pair for pair in zip(own, other, strict=True) if counts(pair[0])]
    first, second = [one for one, _ in chosen], [one for _, one in chosen]
    found = figures_of(second, (BITS, PERFECT))
    between = differences(second, first, (BITS, PERFECT), seed=0)
    return Compared(
        holes=len(chosen),
        right=found["perfect_line"],
        right_difference=between["perfect_line"],
        bits_per_byte=found["bits_per_byte"],
        bits_difference=between["bits_per_byte"],
    )


def _passed(own: Sequence[Solution], other: Sequence[Solution]) -> Compared:
    return Compared(
        holes=len(own),
        right=figures_of(other, (PASSED,))["passed"],
        right_difference=differences(other, own, (PASSED,), seed=0)["passed"],
    )


def _spelled(row: Compared) -> list[str]:
    return [
        str(row.holes),
        "" if row.bits_per_byte is None else f"{row.bits_per_byte:.3f}",
        _spelled_difference(row.bits_difference, 1, 3),
        "" if row.right is None else f"{100 * row.right:.1f}",
        _spelled_difference(row.right_difference, 100, 1),
    ]


def _spelled_difference(found: Difference | None, scale: float, digits: int) -> str:
    if found is None or found.difference is None or found.low is None or found.high is None:
        return ""
    if found.low == found.high == 0:
        return ""
    middle, low, high = (
        f"{scale * value:+.{digits}f}" for value in (found.difference, found.low, found.high)
    )
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    main()
