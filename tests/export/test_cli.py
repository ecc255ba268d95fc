"""cli: the command that a user types."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from export.cli import export
from export.errors import UnsupportedError
from inference.manifest import read_manifest
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint


def run(folder: Path, *options: str) -> str:
    checkpoint = write_tiny_checkpoint(folder / "tiny")
    arguments = [str(checkpoint), "--output", str(folder / "package"), *options]
    return CliRunner().invoke(export, arguments, catch_exceptions=False).output


def test_one_line_tells_what_was_written(tmp_path: Path) -> None:
    output = run(
        tmp_path, "--block-size", "32", "--accept-quality", "--fim-order", "spm", "--name", "mine"
    )
    assert "package: mine, int4, " in output
    assert "0.1M parameters (0.1M active)" in output
    manifest = read_manifest(tmp_path / "package")
    assert (manifest.name, manifest.block_size) == ("mine", 32)


def test_an_error_reaches_the_program_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="does not divide"):
        run(tmp_path)


@pytest.mark.parametrize(
    "option", [("--precision", "int3"), ("--fim-order", "mps"), ("--block-size", "many")]
)
def test_a_value_that_no_option_has_is_refused(option: tuple[str, str], tmp_path: Path) -> None:
    assert "Invalid value" in run(tmp_path, *option)


@pytest.mark.slow
def test_the_program_turns_an_error_into_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inkling", "export", tmp_path / "none", "-o", tmp_path / "package"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == f"error: there is no folder {tmp_path / 'none'}"
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to handle")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(number: int, tmp_path: Path) -> None:
    """The export is stopped once its unfinished folder is there, and long before its end."""
    large = TinyModel("large", 1, {"moe_intermediate_size": 1024, "num_experts": 64})
    checkpoint = write_tiny_checkpoint(tmp_path / "large", large)
    arguments = [checkpoint, "--output", tmp_path / "package", "--block-size", "32"]
    with subprocess.Popen(
        [sys.executable, "-m", "inkling", "export", *arguments],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and len(list(tmp_path.iterdir())) < 2:
            os.sched_yield()
        process.send_signal(number)
        assert process.wait(timeout=30) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["large"]
