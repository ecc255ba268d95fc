"""A run that was broken off goes on where it was."""

from pathlib import Path

import msgspec
import pytest

from benchmarks.kept import Kept


class Counted(msgspec.Struct, frozen=True):
    name: str
    number: int


def opened(path: Path | None) -> Kept[str, Counted]:
    return Kept(path, Counted, lambda one: one.name)


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    first = opened(path)
    assert "a" not in first
    assert first.add(Counted("a", 1)) == Counted("a", 1)
    first.add(Counted("b", 2))
    again = opened(path)
    assert (again["a"], again.get("b"), again.get("c")) == (first["a"], Counted("b", 2), None)


def test_without_a_file_it_is_kept_for_this_run() -> None:
    kept = opened(None)
    kept.add(Counted("a", 1))
    assert kept["a"].number == 1
    with pytest.raises(KeyError):
        kept["b"]
