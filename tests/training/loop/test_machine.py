"""What is given comes back whole, and replaces what was given before."""

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.loop.machine import CHECKPOINT, COMPACT, MAX_FILES, give, receive, take


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def run_with_state(folder: Path, *, num_files: int = 4, size: int = 14_500_000) -> Path:
    run = folder / "there"
    for number in range(num_files):
        write(run / COMPACT / f"model-{number:05d}-of-{num_files:05d}.safetensors", size)
    (run / COMPACT / "progress.json").write_text("{}")
    (run / "metrics.jsonl").write_text('{"step": 1}\n')
    (run / "state.safetensors").write_bytes(b"stays")
    return run


def finish(run: Path) -> None:
    for path in (run / COMPACT).iterdir():
        path.unlink()
    for number in range(3):
        write(run / CHECKPOINT / f"packed-{number:05d}-of-00003.safetensors", 12_000_000)
    (run / CHECKPOINT / "config.json").write_text("{}")


def files_of(folder: Path) -> dict[str, int]:
    """Return the sizes of all files by their paths."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_size for path in paths}


def check(run: Path, output: Path, back: Path) -> None:
    """Give a run, take it, and compare the folders."""
    give(run, output)
    assert len(list(output.iterdir())) <= MAX_FILES
    take(output, back)
    expected = files_of(run)
    del expected["state.safetensors"], expected["run.tar"]
    assert files_of(back) == expected


def test_a_state_to_go_on_from(tmp_path: Path) -> None:
    check(run_with_state(tmp_path), tmp_path / "out", tmp_path / "here")


def test_the_result_takes_the_place_of_the_state(tmp_path: Path) -> None:
    run = run_with_state(tmp_path)
    give(run, tmp_path / "out")
    finish(run)
    check(run, tmp_path / "out", tmp_path / "here")


@pytest.mark.parametrize(
    ("num_files", "size"), [(1, 17 << 20), (8, 100), (5, 14_500_000)], ids=["one", "number", "all"]
)
def test_more_than_may_leave_is_refused(tmp_path: Path, num_files: int, size: int) -> None:
    with pytest.raises(TrainingError, match="cannot leave"):
        give(run_with_state(tmp_path, num_files=num_files, size=size), tmp_path / "out")


def test_a_folder_that_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"there is no run\.tar"):
        take(tmp_path, tmp_path / "here")


def test_parcels_add_up(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}" / "train").mkdir(parents=True)
        (tmp_path / f"{number}" / "train" / f"train-{number}.jsonl.xz").write_bytes(b"x")
        receive(tmp_path / f"{number}", tmp_path / "home")
    assert len(list((tmp_path / "home" / "train").iterdir())) == 2
