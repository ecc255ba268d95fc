"""Rows for people, one object for programs, and a run of another day."""

from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from evaluation.figures import Figure, Percentile, Ratio
from evaluation.plot import check_can_plot, plot
from evaluation.report import (
    ALL,
    Report,
    Run,
    difference_table,
    earlier_run,
    report,
    rows,
    table,
)
from inference.errors import InvalidRequestError


class Sample(msgspec.Struct, frozen=True):
    hole_id: str
    language: str
    kind: str
    right: bool
    ms: float = 1.0


FIGURES: tuple[Figure, ...] = (
    Ratio("right", "right\n%", "right"),
    Percentile("median", "p50\nms", "ms", 50),
)
RIGHT = FIGURES[:1]


def samples(text: str) -> list[Sample]:
    """Each word is a language, a kind and + or -, as in python.line+."""
    return [
        Sample(str(index), *word[:-1].split("."), right=word.endswith("+"))
        for index, word in enumerate(text.split())
    ]


def check(text: str, *expected: tuple[str, str, int, float]) -> None:
    found = [
        (row.language, row.kind, row.num_holes, row.figures["right"])
        for row in rows(samples(text), RIGHT)
    ]
    assert found == list(expected)


def test_one_language_of_one_kind_is_one_row() -> None:
    check("python.line+ python.line-", (ALL, ALL, 2, 0.5))


def test_each_kind_has_a_row() -> None:
    check(
        "python.line+ python.block-",
        (ALL, ALL, 2, 0.5),
        (ALL, "block", 1, 0.0),
        (ALL, "line", 1, 1.0),
    )


def test_each_language_and_kind_has_a_row_and_no_row_comes_twice() -> None:
    check(
        "python.line+ rust.line- python.block+",
        (ALL, ALL, 3, 2 / 3),
        (ALL, "block", 1, 1.0),
        (ALL, "line", 2, 0.5),
        ("python", ALL, 2, 1.0),
        ("python", "line", 1, 1.0),
        ("rust", ALL, 1, 0.0),
    )


def made(first: str, second: str | None = None) -> Report[Sample]:
    runs = [Run("one", samples(first))]
    runs += [Run("two", samples(second))] if second else []
    return report(runs, FIGURES, {"seed": 0}, seed=0)


def test_the_second_run_stands_beside_the_first() -> None:
    against = made("a.b+ a.b+", "a.b- a.b-").against
    assert against is not None
    assert against.rows[0].figures["right"] == 0.0
    found = against.differences[0].differences["right"]
    assert (found.difference, found.low, found.high) == (1.0, 1.0, 1.0)


def test_a_report_is_read_back_as_a_run(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(msgspec.json.encode(made("a.b+ a.b-")))
    assert earlier_run(path, Sample) == Run("one", samples("a.b+ a.b-"))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": 1}', b"\xff", b"{}"])
def test_what_is_no_report_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=r"report.json is no report"):
        earlier_run(path, Sample)


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"cannot read .*nothing: No such file"):
        earlier_run(tmp_path / "nothing", Sample)


def test_shares_are_shown_in_percent(capsys: pytest.CaptureFixture[str]) -> None:
    found = made("python.line+ python.line+ python.line-")
    Console(width=120).print(table("title", found.rows, FIGURES))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["all", "all", "3", "66.7", "1.0"] in lines


def test_a_clear_difference_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    against = made("a.b+ a.b+", "a.b- a.b-").against
    assert against is not None
    Console(width=120).print(difference_table("title", against.differences[0], FIGURES))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["right", "%", "100.0", "100.0", "to", "100.0", "*"] in lines
    assert ["p50", "ms", "0.0", "0.0", "to", "0.0"] in lines


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_drawn(suffix: str, tmp_path: Path) -> None:
    found = made("python.line+ python.block-", "python.line- python.block-")
    assert found.against is not None
    path = tmp_path / f"picture.{suffix}"
    check_can_plot(path)
    plot(path, [(found.model, found.rows), (found.against.model, found.against.rows)], FIGURES)
    assert path.stat().st_size > 1_000
    if suffix == "svg":
        assert "matplotlib" in path.read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.txt", "end its name in .png, .svg, .pdf"), ("b/a.png", "make its folder first")],
)
def test_a_picture_that_cannot_be_drawn_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        check_can_plot(tmp_path / name)
