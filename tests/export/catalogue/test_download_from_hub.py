"""A model by name from a hub of this machine, as a process of its own reaches it."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from export.catalogue.entries import Hub
from tests.support.catalogue import tiny_entry
from tests.support.fake_hub import COMMITS, REPOSITORY, FakeHub, serving

FILE = "tiny.gguf"
CONTENT = bytes(range(256)) * 4_000
OTHER = CONTENT[::-1]
DOWNLOAD = """
import sys
import msgspec
from export.catalogue.download import download
from export.catalogue.entries import Entry
print(download(msgspec.json.decode(sys.argv[1], type=Entry), advance=print))
"""

pytestmark = pytest.mark.slow  # the hub's client takes half a second to import


@pytest.fixture
def hub() -> Generator[FakeHub]:
    files = {COMMITS["main"]: {FILE: CONTENT}, COMMITS["older"]: {FILE: OTHER}}
    with serving(FakeHub(files)) as hub:
        yield hub


def downloaded(
    hub: FakeHub, home: Path, *, revision: str | None = None
) -> subprocess.CompletedProcess[str]:
    entry = tiny_entry(Hub(REPOSITORY, revision, FILE), CONTENT)
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home / "hub"),
        "XDG_CACHE_HOME": str(home),
        "AI_AGENT": "somebody",
    }
    command = [sys.executable, "-c", DOWNLOAD, msgspec.json.encode(entry).decode()]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_official_file_comes_from_the_hub_once(hub: FakeHub, tmp_path: Path) -> None:
    for _ in range(2):
        done = downloaded(hub, tmp_path)
        assert done.returncode == 0, done.stderr
        *told, path = done.stdout.splitlines()
        assert Path(path).read_bytes() == CONTENT
        assert told == [f"{len(CONTENT)} {len(CONTENT)}"]
    assert sum(size for _, _, size in hub.sent) == len(CONTENT)
    assert not [told for told in hub.user_agents if "agent/" in told or "torch/" in told]


def test_another_file_than_the_official_one_is_not_kept(hub: FakeHub, tmp_path: Path) -> None:
    done = downloaded(hub, tmp_path, revision="older")
    assert done.returncode != 0
    assert "the hub: what it gave is not the official file" in done.stderr
    assert not list(tmp_path.rglob(FILE))


def test_a_hub_that_is_not_there_is_told(hub: FakeHub, tmp_path: Path) -> None:
    hub.endpoint = "http://nowhere.invalid"
    done = downloaded(hub, tmp_path)
    assert "the hub: http://nowhere.invalid cannot be reached" in done.stderr
