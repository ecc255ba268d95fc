"""source: a folder is used as it is; a hub id is fetched in two steps, small files first."""

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import pytest

from export.errors import CheckpointError
from export.source import SMALL_FILES, WEIGHT_FILES, fetch_from_hub, find_source


class FakeHub:
    """Answers every repository with one snapshot folder, and remembers what was asked."""

    def __init__(self, snapshot: Path) -> None:
        self.snapshot = snapshot
        self.asked: list[tuple[str, Sequence[str]]] = []

    def fetch(self, repository: str, patterns: Sequence[str]) -> Path:
        self.asked.append((repository, patterns))
        return self.snapshot


def never(repository: str, patterns: Sequence[str]) -> Path:
    raise AssertionError(repository)


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    found = find_source(str(tmp_path), fetch=never)
    assert (found.name, found.revision) == (tmp_path.name, None)
    assert found.folder == found.fetch_weights() == tmp_path


def test_a_folder_named_by_a_dot_has_its_true_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_source(".", fetch=never).name == tmp_path.name


def test_a_hub_id_is_fetched_without_its_weights(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path / "0123abc")
    found = find_source("owner/model-1.5B", fetch=hub.fetch)
    assert (found.name, found.revision) == ("owner/model-1.5B", "0123abc")
    assert hub.asked == [("owner/model-1.5B", SMALL_FILES)]


def test_weights_are_fetched_when_they_are_wanted(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path)
    assert find_source("owner/model", fetch=hub.fetch).fetch_weights() == tmp_path
    assert hub.asked[-1] == ("owner/model", WEIGHT_FILES)


def test_pickles_and_code_are_never_asked_for() -> None:
    patterns = [*SMALL_FILES, *WEIGHT_FILES]
    assert all(pattern.endswith((".json", ".jinja", ".safetensors")) for pattern in patterns)


@pytest.mark.parametrize("name", ["nothing", "no/such/folder", "/no/such", "./nothing", "a b/c"])
def test_a_name_that_is_neither(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="there is no folder"):
        find_source(name, fetch=never)


def test_a_misspelled_folder_is_not_taken_for_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="there is no folder checkpoints/modle"):
        find_source("checkpoints/modle", fetch=never)


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="is a file; give the folder"):
        find_source(str(tmp_path / "model.safetensors"), fetch=never)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repository: str, *, allow_patterns: Sequence[str]) -> str:
        raise ConnectionError("no route to host\nand a long explanation")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(
        CheckpointError, match=r"cannot fetch owner/model .*: no route to host; che"
    ):
        fetch_from_hub("owner/model", SMALL_FILES)
