"""What is given in parts comes back whole."""

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.loop.machine import MAX_FILES, MAX_PART_BYTES, give, parts, receive, take


def finished_run(folder: Path, num_weights: int, size: int) -> Path:
    run = folder / "there"
    (run / "checkpoint").mkdir(parents=True)
    (run / "metrics.jsonl").write_text('{"step": 1}\n')
    (run / "state.safetensors").write_bytes(b"stays")
    (run / "checkpoint" / "config.json").write_text("{}")
    for number in range(num_weights):
        path = run / "checkpoint" / f"model-{number:05d}-of-{num_weights:05d}.safetensors"
        with path.open("wb") as file:
            file.truncate(size)
    return run


def check(folder: Path, *, num_weights: int, size: int, num_parts: int) -> None:
    """Carry a run over in parts and compare the folders."""
    run, back = finished_run(folder, num_weights, size), folder / "here"
    assert len(parts(run)) == num_parts
    for part in range(1, num_parts + 1):
        output = folder / f"out-{part}"
        output.mkdir()
        assert len(give(run, output, part)) <= MAX_FILES
        assert sum(path.stat().st_size for path in output.iterdir()) <= MAX_PART_BYTES
        take(output, back)
    names = {path.relative_to(run) for path in run.rglob("*") if path.is_file()}
    left = {Path("state.safetensors"), Path("run.tar")}
    assert {path.relative_to(back) for path in back.rglob("*") if path.is_file()} == names - left


def test_a_small_run_is_one_part(tmp_path: Path) -> None:
    check(tmp_path, num_weights=1, size=1000, num_parts=1)


def test_weights_of_116_megabytes_are_two_parts(tmp_path: Path) -> None:
    check(tmp_path, num_weights=8, size=14_500_000, num_parts=2)


def test_many_small_weights_are_shared_out_by_number(tmp_path: Path) -> None:
    check(tmp_path, num_weights=16, size=10, num_parts=3)


def test_a_file_too_large_to_leave_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--shard-megabytes 15"):
        parts(finished_run(tmp_path, 1, 17 << 20))


def test_a_part_there_is_none_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no part 2"):
        give(finished_run(tmp_path, 1, 10), tmp_path, 2)


def test_parcels_add_up(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}" / "train").mkdir(parents=True)
        (tmp_path / f"{number}" / "train" / f"train-{number}.jsonl.xz").write_bytes(b"x")
        receive(tmp_path / f"{number}", tmp_path / "home")
    assert len(list((tmp_path / "home" / "train").iterdir())) == 2
