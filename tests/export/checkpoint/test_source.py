"""source: a folder is used as it is; a hub id is fetched in two steps, small files first."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from export.checkpoint.safetensors import Reading
from export.checkpoint.source import INDEX_FILE, SMALL_FILES, fetch_from_hub, find_source
from export.errors import CheckpointError
from tests.support.local_stores import fetched_repository


class FakeHub:
    """Answers every repository with one snapshot folder, and remembers what was asked."""

    def __init__(self, snapshot: Path) -> None:
        self.snapshot = snapshot
        self.asked: list[tuple[str, str | None, list[str]]] = []

    def fetch(self, repository: str, revision: str | None, names: Sequence[str]) -> Path:
        self.asked.append((repository, revision, list(names)))
        return self.snapshot


def never(repository: str, revision: str | None, names: Sequence[str]) -> Path:
    raise AssertionError(repository)


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    found = find_source(str(tmp_path), fetch=never)
    assert (found.name, found.revision, found.folder) == (tmp_path.name, None, tmp_path)
    assert list(found.open_weights(Reading()).tensors) == ["a"]


def test_a_folder_named_by_a_dot_has_its_true_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_source(".", fetch=never).name == tmp_path.name


def test_a_hub_id_is_fetched_without_its_weights(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path / "0123abc")
    found = find_source("owner/model-1.5B", fetch=hub.fetch)
    assert (found.name, found.revision) == ("owner/model-1.5B", "0123abc")
    assert hub.asked == [("owner/model-1.5B", None, list(SMALL_FILES))]


def weights(hub: FakeHub) -> list[str]:
    """Return which weights are asked for, all of them at the commit that was found first."""
    found = find_source("owner/model", revision="main", fetch=hub.fetch)
    with contextlib.suppress(CheckpointError):  # this hub has no weights to open
        found.open_weights(Reading())
    assert {revision for _, revision, _ in hub.asked[1:]} == {hub.snapshot.name}
    return hub.asked[-1][2]


def test_the_single_file_is_fetched_where_there_is_no_index(tmp_path: Path) -> None:
    assert weights(FakeHub(tmp_path)) == ["model.safetensors"]


def test_only_the_shards_of_the_index_are_fetched(tmp_path: Path) -> None:
    index = {
        "weight_map": {
            "a": "model-2.safetensors",
            "b": "model-1.safetensors",
            "c": "model-1.safetensors",
        }
    }
    (tmp_path / INDEX_FILE).write_text(json.dumps(index), encoding="utf-8")
    assert weights(FakeHub(tmp_path)) == ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize(
    "name", ["*.safetensors", "../a.safetensors", "model.bin", "a/b.safetensors"]
)
def test_an_index_that_names_something_else(name: str, tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": name}})
    (tmp_path / INDEX_FILE).write_text(index, encoding="utf-8")
    found = find_source("owner/model", fetch=FakeHub(tmp_path).fetch)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        found.open_weights(Reading())


def test_pickles_and_code_are_never_asked_for() -> None:
    assert all(name.endswith((".json", ".jinja")) for name in SMALL_FILES)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder and has no revision main"):
        find_source(str(tmp_path), revision="main", fetch=never)


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


def test_a_repository_in_the_cache_is_its_latest_snapshot(tmp_path: Path) -> None:
    snapshot = fetched_repository(tmp_path, "owner/small")
    (snapshot.parent / "older").mkdir()
    for path in (snapshot.parent.parent, snapshot):
        found = find_source(str(path), fetch=never)
        assert (found.name, found.folder) == ("owner/small", snapshot)
    (snapshot.parent.parent / "refs" / "main").write_text("../../elsewhere", "utf-8")
    os.utime(snapshot.parent / "older", (2e9, 2e9))
    assert find_source(str(snapshot.parent.parent), fetch=never).folder.name == "older"


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="is a file of weights; give the folder"):
        find_source(str(tmp_path / "model.safetensors"), fetch=never)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repository: str, **options: object) -> str:
        raise ConnectionError("no route to host\nand a long explanation")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(
        CheckpointError, match=r"cannot fetch owner/model .*: no route to host; che"
    ):
        fetch_from_hub("owner/model", None, SMALL_FILES)
