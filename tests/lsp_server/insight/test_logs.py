"""Logs: what a record can do to those beside it, and who can read the file."""

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.insight import log_file
from lsp_server.insight.log_file import PrivateFileHandler
from lsp_server.insight.logs import escaped

ROOT = Path(__file__).parents[3]
FORGED = "x\n2026-01-01 00:00:00,000 ERROR lsp_server.protocol: all is lost"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("all is well", "all is well"),
        ("caf\u00e9 \u4f60\u597d \U0001f600", "caf\u00e9 \u4f60\u597d \U0001f600"),
        ("one\ntwo", "one\n    two"),
        ("one\r\ntwo", "one\n    two"),
        ("one\rtwo", "one\\rtwo"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("a\u2028b\u202ec", "a\\u2028b\\u202ec"),
        ("\ud800", "\\ud800"),
        (FORGED, FORGED.replace("\n", "\n    ")),
    ],
)
def test_what_steers_is_spelled(text: str, shown: str) -> None:
    assert escaped(text) == shown


@given(st.text())
def test_every_later_line_is_indented_and_can_be_written(text: str) -> None:
    first, *later = escaped(text).splitlines() or [""]
    assert all(line.startswith("    ") for line in later)
    assert escaped(text).encode("utf-8").decode("utf-8") == "\n".join([first, *later]) or (
        text.endswith("\n")
    )


LOGGED = """
import logging, sys
from pathlib import Path
from lsp_server.insight.logs import configure_logging
configure_logging("info", Path(sys.argv[1]))
logging.getLogger("here").info("said %s", sys.argv[2])
logging.getLogger("pygls").error("quoted %s", sys.argv[2])
"""


def check(file: Path, said: str) -> str:
    """Log from a process of its own; return what stands on its stderr."""
    command = [sys.executable, "-c", LOGGED, str(file), said]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stderr


def test_the_file_and_stderr_say_the_same(tmp_path: Path) -> None:
    stderr = check(tmp_path / "inkling.log", FORGED)
    record = "INFO here: said " + FORGED.replace("\n", "\n    ") + "\n"
    assert stderr == record
    assert (tmp_path / "inkling.log").read_text("utf-8").endswith(record)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_user_can_read_the_file(tmp_path: Path) -> None:
    file = tmp_path / "inkling.log"
    file.touch(0o644)
    check(file, "x")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("in_the_way", ["a folder", "a link", "no folder"])
def test_a_file_that_cannot_be_opened_is_named_and_the_rest_goes_on(
    in_the_way: str, tmp_path: Path
) -> None:
    file = tmp_path / "inkling.log"
    match in_the_way:
        case "a folder":
            file.mkdir()
        case "a link":
            file.symlink_to(tmp_path / "elsewhere")
        case _:
            file = tmp_path / "nowhere" / "inkling.log"
    stderr = check(file, "x").splitlines()
    assert stderr[0].startswith("WARNING lsp_server.insight.logs: nothing is logged to the file: ")
    assert stderr[1] == "INFO here: said x"
    assert not (tmp_path / "elsewhere").exists()


def _handler(path: Path) -> tuple[logging.Logger, PrivateFileHandler]:
    logger = logging.Logger("alone")  # noqa: LOG001 - known to no other test
    handler = PrivateFileHandler(path)
    logger.addHandler(handler)
    return logger, handler


def test_five_files_of_the_log_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MAX_FILE_BYTES", 1_000)
    logger, handler = _handler(tmp_path / "inkling.log")
    for number in range(300):
        logger.warning("%s", f"{number} " * 10)
    handler.close()
    assert len(list(tmp_path.iterdir())) == 5
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device is full here")
def test_a_full_disk_says_nothing_of_what_was_to_be_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, handler = _handler(tmp_path / "inkling.log")
    handler.stream.close()
    full = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115 - the handler has it
    monkeypatch.setattr(handler, "stream", full)
    logger.warning("canary")
    with pytest.raises(OSError, match="No space"):
        full.close()
    assert capfd.readouterr() == ("", "")
    assert os.path.getsize(tmp_path / "inkling.log") == 0  # noqa: PTH202
