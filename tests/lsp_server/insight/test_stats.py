"""What is counted from records, and the page and tables that show it."""

import re
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from inference import Completion, FinishReason, Timings
from lsp_server.insight import cli
from lsp_server.insight.charts import bars, columns, pairs
from lsp_server.insight.journal import append
from lsp_server.insight.page import page
from lsp_server.insight.records import (
    Accepted,
    Kept,
    PartlyAccepted,
    Record,
    Rejected,
    RequestRecord,
    Shown,
    encoded,
)
from lsp_server.insight.stats import Suggested, percentile, statistics

ENDS = {
    "a": lambda about: [Accepted(**about, visible_ms=900.0)],
    "p": lambda about: [PartlyAccepted(**about, visible_ms=900.0)],
    "r": lambda about: [Rejected(**about, reason="typed over", visible_ms=900.0)],
    "q": lambda about: [Rejected(**about, reason="typed over", visible_ms=9.0)],
    "t": lambda about: [Rejected(**about, reason="typed through", visible_ms=900.0)],
    "o": lambda _about: [],
    "ra": lambda about: [*ENDS["r"](about), *ENDS["a"](about)],
    "ar": lambda about: [*ENDS["a"](about), *ENDS["r"](about)],
    "ak": lambda about: [
        *ENDS["a"](about),
        Kept(**about, after_seconds=30, share=1.0),
        Kept(**about, after_seconds=300, share=0.5),
    ],
}
"""One letter for what became of a suggestion of ten characters."""


def suggestions(ends: str, *, language: str = "python", model: str = "nano") -> list[Record]:
    records = list[Record]()
    for ordinal, end in enumerate(ends.split(), start=1):
        about = {
            "time": 1_000_000.0 + ordinal,
            "session": language,
            "ordinal": ordinal,
            "language": language,
            "model": model,
            "characters": 10,
        }
        records += [Shown(**about), *ENDS[end](about)]
    return records


def requests(*outcomes: str) -> list[Record]:
    """Requests that were answered with that outcome after 1, 2, 3 ... ms."""
    records = list[Record]()
    for number, outcome in zip(count(1), outcomes, strict=False):
        record = RequestRecord(
            time=1_000_000.0,
            session="s",
            ordinal=number,
            language="python",
            document="0123456789ab",
            trigger="automatic",
            elapsed_ms=number,
        )
        if outcome in {"model", "cache", "joined"}:
            timings = Timings(total_ms=number * 2.0)
            record.answer(
                Completion(
                    text="x", finish_reason=FinishReason.LINE, timings=timings, origin=outcome
                ),
                "nano",
            )
        else:
            record.outcome = outcome
        records.append(record)
    return records


def check(ends: str, **expected: float | None) -> None:
    total = statistics(suggestions(ends)).total
    assert {name: getattr(total, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("", {"shown": 0, "accept_rate": None, "accept_rate_stood": None, "kept_30s": None}),
        ("o", {"shown": 1, "accept_rate": 0.0, "stood": 0, "accept_rate_stood": None}),
        ("a r", {"shown": 2, "accepted": 1, "rejected": 1, "accept_rate": 0.5}),
        ("a p r r", {"accepted": 1, "partly": 1, "accept_rate": 0.5, "characters_accepted": 20}),
        ("a q q q", {"stood": 1, "accept_rate": 0.25, "accept_rate_stood": 1.0}),
        ("t r", {"typed_through": 1, "rejected": 1, "stood": 2, "accept_rate": 0.0}),
        ("ra", {"accepted": 1, "rejected": 0}),
        ("ar", {"accepted": 1, "rejected": 0}),
        ("ak a", {"kept_30s": 1.0, "kept_5min": 0.5, "characters_shown": 20}),
    ],
)
def test_what_became_of_suggestions(ends: str, expected: dict[str, float | None]) -> None:
    check(ends, **expected)


@given(st.lists(st.sampled_from([*ENDS])))
def test_every_suggestion_is_counted_once(ends: list[str]) -> None:
    total = statistics(suggestions(" ".join(ends))).total
    open_ones = ends.count("o")
    ended = total.accepted + total.partly + total.typed_through + total.rejected
    assert ended + open_ones == total.shown == len(ends)
    assert total.accepted + total.partly <= total.stood <= total.shown


def test_languages_and_models_are_counted_apart() -> None:
    records = suggestions("a a", language="python") + suggestions(
        "r", language="rust", model="qwen"
    )
    found = statistics(records)
    assert [(name, s.shown, s.accepted) for name, s in found.by_language.items()] == [
        ("python", 2, 2),
        ("rust", 1, 0),
    ]
    assert set(found.by_model) == {"nano", "qwen"}
    assert sum(day.shown for day in found.by_day.values()) == 3


def test_an_acceptance_counts_where_what_was_shown_is_gone_from_the_journal() -> None:
    found = statistics(record for record in suggestions("a r") if not isinstance(record, Shown))
    assert (found.total.shown, found.total.accepted) == (1, 1)


def test_requests_are_counted_by_what_became_of_them() -> None:
    found = statistics(requests("model", "cache", "cache", "blank", "cancelled", "blank"))
    assert found.requests == 6
    assert found.outcomes == {"shown": 3, "blank": 2, "cancelled": 1}
    assert found.origins == {"cache": 2, "model": 1}
    latency = {name: (s.count, s.p50, s.p95) for name, s in found.latency.items()}
    assert latency == {"answer": (3, 2.0, 3.0), "total": (3, 4.0, 6.0)}


def test_what_is_older_is_left_out() -> None:
    assert statistics(suggestions("a a a"), since=1_000_002.5).total.shown == 1


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([5], 0.5, 5), ([1, 2], 0.5, 1), ([3, 1, 2], 0.5, 2), (list(range(1, 101)), 0.95, 95)],
)
def test_percentiles(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


HOSTILE = "<script>alert(1)</script>&\"'"


def test_the_page_is_whole_and_shows_names_as_they_are() -> None:
    records = suggestions("ak p r t", language=HOSTILE, model=HOSTILE) + requests("model", "blank")
    text = page(statistics(records))
    assert "<script" not in text
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("<svg") == text.count("</svg>") == 4
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_a_page_of_nothing_says_so() -> None:
    text = page(statistics([]))
    assert "Nothing has been recorded yet." in text
    assert "nothing yet" in text


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=8),
        st.floats(0, 1e6),
        max_size=40,
    )
)
def test_drawings_stay_inside_their_frame(values: dict[str, float]) -> None:
    both = {name: (value / 2, value) for name, value in values.items()}
    names = ("first", "second")
    for drawing in (bars("t", values), pairs("t", both, names), columns("t", both, names)):
        root = ElementTree.fromstring(drawing)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for rect in root.iter("rect"):
            x, y, w, h = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
            assert -0.1 <= x <= x + w <= width + 0.2
            assert -0.1 <= y <= y + h <= height + 0.2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cli, "state_folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "4 suggestions shown; accepted 1 and in part 1 (50% of shown"),
        ([], "the document is blank"),
        (["--json"], '"accept_rate": 0.5'),
        (["--since", "1"], "nothing is written down yet"),
    ],
)
def test_the_command_counts_what_is_written(
    folder: Path, arguments: list[str], expected: str
) -> None:
    for record in [*suggestions("a p r r"), *requests("model", "blank")]:
        append(folder, encoded(record))
    result = CliRunner().invoke(cli.stats, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert expected in result.output


def test_the_command_writes_a_page_and_forgets(folder: Path) -> None:
    append(folder, encoded(suggestions("a")[0]))
    html = folder / "page.html"
    assert "is written" in CliRunner().invoke(cli.stats, ["--html", str(html)]).output
    assert html.read_text("utf-8").startswith("<!doctype html>")
    assert "1 files removed" in CliRunner().invoke(cli.stats, ["--reset"]).output
    assert "nothing is written down" in CliRunner().invoke(cli.stats, []).output


def test_a_suggested_of_nothing_is_zero() -> None:
    assert statistics([]).total == Suggested()
