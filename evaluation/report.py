"""Lay out what was measured: rows of figures for people, one JSON object for programs.

Pure but for `earlier_run`, which reads such an object back, so that a run can be held against one
of another day or of another version.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from rich import box
from rich.table import Table

from evaluation.figures import Difference, Figure, Ratio, differences, figures_of
from inference.errors import InvalidRequestError

ALL: Final = "all"


class Record(Protocol):
    """One hole or problem, filled; beside this it has the fields that figures name."""

    @property
    def hole_id(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def kind(self) -> str: ...


RecordT = TypeVar("RecordT", bound=Record)


class Run(msgspec.Struct, Generic[RecordT], frozen=True):
    """One model's records, in the order of the holes."""

    model: str
    records: list[RecordT]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a language and kind, or of all of either."""

    language: str
    kind: str
    num_holes: int
    figures: dict[str, float | None]


class DifferenceRow(msgspec.Struct, frozen=True, kw_only=True):
    language: str
    kind: str
    num_holes: int
    differences: dict[str, Difference]


class Against(msgspec.Struct, Generic[RecordT], frozen=True):
    model: str
    rows: list[Row]
    records: list[RecordT]
    differences: list[DifferenceRow]
    """`model` of the report minus this one."""


class Report(msgspec.Struct, Generic[RecordT], frozen=True, kw_only=True):
    model: str
    settings: dict[str, str | int | None]
    rows: list[Row]
    records: list[RecordT]
    against: Against[RecordT] | None = None


def report(
    runs: Sequence[Run[RecordT]],
    figures: Sequence[Figure],
    settings: dict[str, str | int | None],
    *,
    seed: int,
) -> Report[RecordT]:
    """Report the first run, and the second beside it if there is one."""
    first = runs[0]
    return Report(
        model=first.model,
        settings=settings,
        rows=rows(first.records, figures),
        records=first.records,
        against=_against(first, runs[1], figures, seed=seed) if len(runs) > 1 else None,
    )


def rows(records: Sequence[RecordT], figures: Sequence[Figure]) -> list[Row]:
    return [
        Row(
            language=language,
            kind=kind,
            num_holes=len(indices),
            figures=figures_of([records[index] for index in indices], figures),
        )
        for language, kind, indices in _groups(records)
    ]


def earlier_run(path: Path, record_type: type[RecordT]) -> Run[RecordT]:
    """Read the model and the records of a report that was printed with --json.

    Raises InvalidRequestError.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run[record_type])
    except OSError as error:
        raise InvalidRequestError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(
            f"{path} is no report of this evaluation: {error}; make one with --json"
        ) from error


def table(title: str, rows: Sequence[Row], figures: Sequence[Figure]) -> Table:
    built = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("language", "kind"):
        built.add_column(heading)
    for heading in ("holes", *(figure.heading for figure in figures)):
        built.add_column(heading, justify="right")
    for row in rows:
        values = [spelled(figure, row.figures[figure.name]) for figure in figures]
        built.add_row(row.language, row.kind, str(row.num_holes), *values)
    return built


def difference_table(title: str, row: DifferenceRow, figures: Sequence[Figure]) -> Table:
    """Show the differences of one row, each with its interval; * marks those without 0 in it."""
    built = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    built.add_column("figure")
    for heading in ("difference", "95 % interval"):
        built.add_column(heading, justify="right")
    for figure in figures:
        found = row.differences[figure.name]
        interval = f"{spelled(figure, found.low)} to {spelled(figure, found.high)}"
        mark = "*" if _is_clear(found) else " "
        built.add_row(
            figure.heading.replace("\n", " "),
            spelled(figure, found.difference),
            f"{interval} {mark}",
        )
    return built


def spelled(figure: Figure, value: float | None) -> str:
    if value is None:
        return "-"
    match figure:
        case Ratio(is_share=False):
            return f"{value:.3f}"
        case _:
            return f"{shown(figure, value):.1f}"


def shown(figure: Figure, value: float) -> float:
    """Return the number that people are shown: shares in percent."""
    match figure:
        case Ratio(is_share=True):
            return 100 * value
        case _:
            return value


def _against(
    first: Run[RecordT], second: Run[RecordT], figures: Sequence[Figure], *, seed: int
) -> Against[RecordT]:
    return Against(
        model=second.model,
        rows=rows(second.records, figures),
        records=second.records,
        differences=[
            DifferenceRow(
                language=language,
                kind=kind,
                num_holes=len(indices),
                differences=differences(
                    [second.records[index] for index in indices],
                    [first.records[index] for index in indices],
                    figures,
                    seed=seed,
                ),
            )
            for language, kind, indices in _groups(first.records)
        ],
    )


def _is_clear(found: Difference) -> bool:
    return found.low is not None and found.high is not None and not found.low <= 0 <= found.high


def _groups(records: Sequence[Record]) -> list[tuple[str, str, Sequence[int]]]:
    """Return all, each kind, each language and each of both; those that are the same only once."""
    members: dict[tuple[str, str], list[int]] = {}
    for index, record in enumerate(records):
        for key in itertools.product((ALL, record.language), (ALL, record.kind)):
            members.setdefault(key, []).append(index)
    distinct: dict[tuple[int, ...], tuple[str, str]] = {}
    for key in sorted(members, key=lambda key: [(part != ALL, part) for part in key]):
        distinct.setdefault(tuple(members[key]), key)
    return [(language, kind, indices) for indices, (language, kind) in distinct.items()]
