"""cli: the command that a user types."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from export.cli import export
from export.errors import QualityError, UnsupportedError
from inference.package.manifest import read_manifest
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint


def run(folder: Path, *options: str) -> str:
    checkpoint = write_tiny_checkpoint(folder / "tiny")
    arguments = [str(checkpoint), "--output", str(folder / "package"), *options]
    return CliRunner().invoke(export, arguments, catch_exceptions=False).output


def test_one_line_tells_what_was_written(tmp_path: Path) -> None:
    output = run(
        tmp_path, "--block-size", "32", "--accept-quality", "--fim-order", "spm", "--name", "mine"
    )
    assert "package: mine, int4 for cpu, " in output
    assert "0.1M parameters (0.1M active)" in output
    manifest = read_manifest(tmp_path / "package")
    assert (manifest.name, manifest.block_size) == ("mine", 32)


def test_an_error_reaches_the_program_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="block size 96 is not implemented"):
        run(tmp_path, "--block-size", "96")


@pytest.mark.parametrize("asked", [(), ("--block-size", "64")])
def test_a_block_that_does_not_divide_is_replaced_in_one_line(
    asked: tuple[str, ...], tmp_path: Path
) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    arguments = [str(checkpoint), "-o", str(tmp_path / "package"), "--accept-quality", *asked]
    done = CliRunner().invoke(export, arguments, catch_exceptions=False)
    wanted = asked[1] if asked else "128"
    row = 32 if asked else 64
    told = f"block size 32 instead of {wanted}, which does not divide rows of {row}"
    assert done.stderr.strip() == told
    assert told not in done.stdout
    assert read_manifest(tmp_path / "package").block_size == 32


@pytest.mark.parametrize(
    "option", [("--precision", "int3"), ("--fim-order", "mps"), ("--block-size", "many")]
)
def test_a_value_that_no_option_has_is_refused(option: tuple[str, str], tmp_path: Path) -> None:
    assert "Invalid value" in run(tmp_path, *option)


def test_a_refusal_shows_what_was_measured_and_how_to_override_it(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")  # random weights do not survive 4 bits
    arguments = [str(checkpoint), "-o", str(tmp_path / "package"), "--block-size", "32"]
    done = CliRunner().invoke(export, [*arguments, "--rounding", "nearest"])
    assert isinstance(done.exception, QualityError)
    assert "--accept-quality" in str(done.exception)
    agreement = f"{done.exception.figures['agreement']:.1%}"
    table = {line.split("│")[1].strip(): line for line in done.stderr.splitlines() if "│" in line}
    assert agreement in table["next tokens equal to the original's"]
    assert "at least 80.0%" in table["next tokens equal to the original's"]
    assert {"perplexity", "divergence from the original, nats"} < set(table)
    assert done.stdout == ""


def test_a_package_for_both_devices_is_told_so(tmp_path: Path) -> None:
    whole_tiles = TinyModel("tiles", 1, {"moe_intermediate_size": 64})
    checkpoint = write_tiny_checkpoint(tmp_path / "tiles", whole_tiles)
    arguments = [str(checkpoint), "-o", str(tmp_path / "package"), "--block-size", "64"]
    options = ["--device", "cuda", "--rounding", "nearest", "--accept-quality"]
    done = CliRunner().invoke(export, [*arguments, *options], catch_exceptions=False)
    assert "int4 for cpu and cuda, " in done.output
    assert "on cuda: experts of 64 by 64 are below 512 on a side" in done.output


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
