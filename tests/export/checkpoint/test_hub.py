"""Downloads from a hub on this machine: one commit, only what is needed, resumed, and offline."""

import functools
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import huggingface_hub
import pytest

from export.checkpoint.safetensors import Reading
from export.checkpoint.source import CheckpointSource, fetch_from_hub, find_source
from export.errors import CheckpointError
from tests.support.fake_hub import COMMITS, REPOSITORY, FakeHub, serving
from tests.support.tiny_checkpoints import write_tiny_checkpoint

LATEST, OLDER = COMMITS["main"], COMMITS["older"]
UNWANTED = {
    "README.md": b"# model",
    "pytorch_model.bin": b"\x80\x04",
    "modeling_own.py": b"raise SystemExit",
    "consolidated.safetensors": b"the same weights again",
    "original.safetensors": b"and again",
}

pytestmark = [
    pytest.mark.slow,  # the hub's client takes half a second to import
    pytest.mark.filterwarnings("ignore"),  # of the client
]


def checkpoint_files(folder: Path, num_shards: int) -> dict[str, bytes]:
    write_tiny_checkpoint(folder, num_shards=num_shards)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(tmp_path: Path) -> Generator[FakeHub]:
    sharded = checkpoint_files(tmp_path / "sharded", 3)
    single = checkpoint_files(tmp_path / "single", 1)
    with serving(FakeHub({LATEST: sharded | UNWANTED, OLDER: single | UNWANTED})) as hub:
        yield hub


def find(hub: FakeHub, cache: Path, revision: str | None = None) -> CheckpointSource:
    fetch = functools.partial(fetch_from_hub, endpoint=hub.endpoint, cache=cache)
    return find_source(REPOSITORY, revision=revision, fetch=fetch)


def check_fetched(hub: FakeHub, commit: str, folder: Path, *names: str) -> None:
    for name in names:
        assert (folder / name).read_bytes() == hub.files[commit][name], name


SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]


def test_small_files_come_first_and_then_the_shards_alone(hub: FakeHub, tmp_path: Path) -> None:
    found = find(hub, tmp_path / "cache")
    small = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert hub.names_sent() == small | {"model.safetensors.index.json"}
    assert found.revision == LATEST
    weights = found.open_weights(Reading()).folder
    assert hub.names_sent() == small | {"model.safetensors.index.json", *SHARDS}
    check_fetched(hub, LATEST, weights, *small, *SHARDS)


def test_another_revision_is_another_commit(hub: FakeHub, tmp_path: Path) -> None:
    found = find(hub, tmp_path / "cache", "older")
    assert found.revision == OLDER
    check_fetched(hub, OLDER, found.open_weights(Reading()).folder, "model.safetensors")


def test_what_was_fetched_is_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    find(hub, tmp_path / "cache").open_weights(Reading())
    num_sent = len(hub.sent)
    find(hub, tmp_path / "cache").open_weights(Reading())
    assert len(hub.sent) == num_sent


def test_a_download_that_broke_off_goes_on_where_it_was(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whole chunks are kept; the client's own are larger than the file.
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    found = find(hub, tmp_path / "cache", "older")
    hub.hang_up_after = 100_000
    hub.sent.clear()
    weights = found.open_weights(Reading()).folder
    resumed = [first for name, first, _ in hub.sent if name == "model.safetensors"]
    assert resumed[0] == 0
    assert resumed[-1] >= 90_000
    check_fetched(hub, OLDER, weights, "model.safetensors")


def test_without_the_hub_the_cache_serves(hub: FakeHub, tmp_path: Path) -> None:
    find(hub, tmp_path / "cache").open_weights(Reading())
    gone = FakeHub({}, endpoint="http://127.0.0.1:9")  # the discard port: nobody listens
    found = find(gone, tmp_path / "cache")
    assert found.revision == LATEST
    check_fetched(hub, LATEST, found.open_weights(Reading()).folder, *SHARDS)


def test_without_hub_and_cache_it_is_told(tmp_path: Path) -> None:
    gone = FakeHub({}, endpoint="http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"cannot fetch owner/model .*: .*network"):
        find(gone, tmp_path / "cache")


def test_a_revision_that_is_none(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot fetch owner/model"):
        find(hub, tmp_path / "cache", "nowhere")


def test_a_repository_that_is_none(hub: FakeHub, tmp_path: Path) -> None:
    fetch = functools.partial(fetch_from_hub, endpoint=hub.endpoint, cache=tmp_path / "cache")
    with pytest.raises(CheckpointError, match="cannot fetch owner/other"):
        find_source("owner/other", fetch=fetch)


def test_the_hub_is_not_told_what_else_runs_here(hub: FakeHub, tmp_path: Path) -> None:
    """In a process of its own, since the client looks once, when it is imported."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "cache"),
        "AI_AGENT": "somebody",
    }
    command = [sys.executable, "-m", "inkling", "export", REPOSITORY, "--inspect"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "qwen3_moe" in done.stdout
    assert hub.user_agents
    assert not [told for told in hub.user_agents if "agent/" in told or "torch/" in told]
