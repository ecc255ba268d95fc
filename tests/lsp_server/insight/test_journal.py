"""The journal: what is remembered, what reaches the file, and what a disk that fails costs."""

import asyncio
import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import Completion, CompletionRequest, FinishReason, Timings, TokenCounts
from lsp_server.insight import journal as journal_module
from lsp_server.insight.journal import (
    FILE_NAME,
    NUM_OLD_FILES,
    NUM_REMEMBERED,
    Journal,
    append,
    erase,
    journal_files,
    last_requests,
    open_journal,
    read_journal,
)
from lsp_server.insight.records import Kept, Learned, Record, RequestRecord, decoded, encoded

URI = "file:///users/me/secret/plan.py"
TEXT = "return canary"


def ask(journal: Journal, *, text: str = TEXT) -> RequestRecord:
    request = CompletionRequest(document=URI, prefix="def canary(): ", suffix="\n")
    completion = Completion(
        text=text,
        finish_reason=FinishReason.LINE if text else FinishReason.EMPTY,
        tokens=TokenCounts(prompt=9, reused=4, generated=3),
        timings=Timings(total_ms=12.5),
        origin="cache",
    )
    with journal.asked(URI, "python", "automatic") as record:
        record.reads(request)
        record.answer(completion, "nano")
    return record


def written(folder: Path) -> list[Record]:
    return list(read_journal(folder))


def test_a_request_is_remembered_and_written_alike(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    record = ask(journal)
    journal.close()
    assert [*journal.requests] == written(tmp_path / "state") == [record]
    assert (record.outcome, record.model, record.characters, record.lines) == (
        "shown",
        "nano",
        len(TEXT),
        1,
    )
    assert (record.read_before, record.read_after, record.num_documents) == (14, 1, 1)
    assert record.elapsed_ms > 0


@pytest.mark.parametrize("without", [URI, "secret", "plan", "canary"])
def test_no_name_and_no_word_of_a_document_is_written(without: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    ask(journal)
    journal.close()
    assert without not in (tmp_path / FILE_NAME).read_text("utf-8")


def test_a_document_has_one_name_in_a_session_and_another_in_the_next() -> None:
    first, second = Journal(), Journal()
    names = {ask(first).document, ask(first).document}
    assert len(names) == 1
    assert ask(second).document not in names


@pytest.mark.parametrize(
    ("raises", "outcome"),
    [(asyncio.CancelledError(), "cancelled"), (ValueError("canary"), "fault")],
)
def test_what_ends_a_request_early_is_its_outcome(raises: BaseException, outcome: str) -> None:
    journal = Journal()
    with contextlib.suppress(type(raises)), journal.asked(URI, "python", "invoked"):
        raise raises
    assert journal.requests[0].outcome == outcome


def test_an_answer_without_text_has_the_engines_reason() -> None:
    assert ask(Journal(), text="").outcome == "empty"


def test_the_newest_are_remembered() -> None:
    journal = Journal()
    for _ in range(NUM_REMEMBERED + 5):
        ask(journal)
    assert [record.ordinal for record in journal.requests] == list(range(6, NUM_REMEMBERED + 6))


@pytest.mark.parametrize("value", ["off", "OFF"])
def test_the_environment_switches_the_file_off(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "state_folder", lambda: tmp_path / "state")
    journal = open_journal({"INKLING_JOURNAL": value})
    ask(journal)
    journal.close()
    assert not (tmp_path / "state").exists()
    assert len(journal.requests) == 1


def test_a_setting_switches_it_off_and_on_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for enabled in (True, False, True):
        journal.enabled = enabled
        ask(journal)
    journal.close()
    assert [record.ordinal for record in written(tmp_path)] == [1, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    append(tmp_path / "state", b"{}\n")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / FILE_NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize("in_the_way", ["a file", "a link", "a full disk"])
def test_where_writing_fails_one_line_says_so_and_requests_go_on(
    in_the_way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "state"
    match in_the_way:
        case "a file":
            folder.write_text("")
        case "a link":
            folder.mkdir()
            (folder / FILE_NAME).symlink_to(tmp_path / "elsewhere")
        case _:
            monkeypatch.setattr(os, "write", lambda _descriptor, data: len(data) // 2)
    journal = Journal(folder)
    for _ in range(3):
        ask(journal)
        journal.close()
    assert [record.getMessage()[:40] for record in caplog.records] == [
        "nothing more is written to the journal: "
    ]
    assert not (tmp_path / "elsewhere").exists()
    assert len(journal.requests) == 3
    assert not journal.enabled


def test_full_files_are_put_aside_and_the_oldest_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_FILE_BYTES", 1_000)
    for _ in range(60):
        append(tmp_path, b"x" * 99 + b"\n")
        assert len(journal_files(tmp_path)) <= NUM_OLD_FILES + 1
    sizes = [path.stat().st_size for path in journal_files(tmp_path)]
    assert sizes == [1_000] * NUM_OLD_FILES


WRITE = """
import sys
from pathlib import Path
from lsp_server.insight import journal
journal.MAX_FILE_BYTES = 20_000
for number in range(200):
    journal.append(Path(sys.argv[1]), f"{sys.argv[2]} {number} {'x' * 60}\\n".encode())
"""


@pytest.mark.slow
def test_several_servers_write_whole_lines(tmp_path: Path) -> None:
    """Four times 200 lines of 66 bytes are less than five files hold, so none may be missing."""
    root = Path(__file__).parents[3]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, tmp_path, str(name)], cwd=root)
        for name in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    lines = [line for path in journal_files(tmp_path) for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{w} {n} {'x' * 60}" for w in range(4) for n in range(200))


def test_a_reset_removes_all_of_it_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for name in (FILE_NAME, "journal-00000000000000000001.jsonl"):
        (tmp_path / name).write_text("")
    assert erase(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_last_requests_of_all_servers_are_in_their_order(tmp_path: Path) -> None:
    for time in (3.0, 1.0, 2.0):
        record = ask(Journal())
        append(tmp_path, encoded(msgspec.structs.replace(record, time=time)))
    assert [record.time for record in last_requests(tmp_path, 2)] == [2.0, 3.0]


@given(st.binary(max_size=200))
def test_a_line_that_is_no_record_is_left_out(line: bytes) -> None:
    assert decoded(line) is None


@given(st.floats(0, 1), st.integers(0, 10**6))
def test_a_record_comes_back_as_it_was(share: float, characters: int) -> None:
    kept = Kept(
        time=1.5,
        session="s",
        ordinal=1,
        language="python",
        characters=characters,
        after_seconds=30,
        share=share,
    )
    assert decoded(encoded(kept).rstrip()) == kept


def test_what_was_learned_last_is_found_again(tmp_path: Path) -> None:
    for leaning in (-0.5, 0.25):
        append(tmp_path, encoded(Learned(time=1.0, leaning=leaning, num_decisions=3)))
    append(tmp_path, b"no record\n" * 100)
    found = Journal(tmp_path).learned()
    assert found is not None
    assert found.leaning == 0.25
    assert Journal(tmp_path, enabled=False).learned() is None
    erase(tmp_path)
    assert Journal(tmp_path).learned() is None
