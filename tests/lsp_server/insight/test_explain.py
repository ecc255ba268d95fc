"""What is said of requests: a sentence for every way in which one can end."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from inference import Completion, FinishReason, Timings
from lsp_server.insight import cli
from lsp_server.insight.explain import REASONS, as_json, cells, reason, sentence
from lsp_server.insight.journal import append
from lsp_server.insight.records import CANCELLED, FAULT, OUTDATED, RequestRecord, encoded
from lsp_server.policy.gate import Silence


def record(outcome: str = "", **fields: object) -> RequestRecord:
    made = RequestRecord(
        time=1_000_000.0,
        session="s",
        ordinal=1,
        language="python",
        document="0123456789ab",
        trigger="automatic",
        elapsed_ms=12.4,
    )
    made.answer(
        Completion(
            text="return 1",
            finish_reason=FinishReason.LINE,
            timings=Timings(prefill_ms=8.2, total_ms=11.0),
            origin="cache",
        ),
        "nano",
    )
    made.outcome = outcome or made.outcome
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    "outcome",
    [
        *(finish.value for finish in FinishReason),
        CANCELLED,
        FAULT,
        OUTDATED,
    ],
)
def test_every_way_to_end_has_words(outcome: str) -> None:
    assert reason(outcome) != outcome
    assert " " in reason(outcome)


@pytest.mark.parametrize("silence", Silence)
def test_a_silence_has_its_own_words(silence: Silence) -> None:
    assert reason(silence.name.lower()) == silence.value


def test_no_words_are_left_over() -> None:
    known = {finish.value for finish in FinishReason} | {CANCELLED, FAULT, OUTDATED}
    assert set(REASONS) <= known


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (record(), "shown: 8 characters after 12 ms; an earlier completion had it (nano)"),
        (record("blank"), "silent after 12 ms: the document is blank"),
        (
            record("blank", probability=0.12),
            "silent after 12 ms: the document is blank; acceptance was estimated at 12%",
        ),
        (record("of a later version"), "silent after 12 ms: of a later version"),
    ],
)
def test_the_sentence(made: RequestRecord, said: str) -> None:
    assert sentence(made) == as_json(made)["sentence"] == said


def test_the_stages_are_named() -> None:
    assert "prefill 8 total 11" in cells(record())


def test_the_command_shows_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "state_folder", lambda: tmp_path)
    assert "nothing is written down yet" in CliRunner().invoke(cli.explain, []).output
    for number, outcome in enumerate(["blank", "cancelled", "superseded"]):
        append(tmp_path, encoded(record(outcome, time=float(number))))
    shown = CliRunner().invoke(cli.explain, ["--last", "2"]).output
    assert "the editor took the request back" in shown
    assert "a newer request" in shown
    assert "blank" not in shown
    told = CliRunner().invoke(cli.explain, ["--json"]).output
    assert told.count('"sentence"') == 3
