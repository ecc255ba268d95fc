"""A graph that names other files: 5 positions x 8 locations x named in the manifest or not.

Every package here has the right hashes, as one made by an attacker would have.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from msgspec.structs import replace
from onnx import helper

from inference.errors import InvalidModelError
from inference.package.external_data import external_locations
from inference.package.manifest import (
    MODEL_FILE,
    FileEntry,
    read_manifest,
    verify_files,
    write_manifest,
)
from inference.runtime.onnx import OnnxModel
from inference.serving.local import load_package
from tests.faults.packages import DATA_FILE
from tests.support.hostile_graphs import (
    DATA,
    POSITIONS,
    external_tensor,
    initializer,
    write_hostile_package,
)


def check_refused(folder: Path, because: str) -> None:
    with pytest.raises(InvalidModelError, match=because):
        load_package(folder)


def above(folder: Path) -> str:
    (folder.parent / "secret").write_bytes(DATA)
    return "../secret"


def above_by_a_detour(folder: Path) -> str:
    (folder / "x").mkdir()
    (folder.parent / "secret").write_bytes(DATA)
    return "x/../../secret"


def absolute(folder: Path) -> str:
    (folder.parent / "secret").write_bytes(DATA)
    return str(folder.parent / "secret")


def device(folder: Path) -> str:
    return "/dev/zero"


def symbolic_link(folder: Path) -> str:
    (folder.parent / "secret").write_bytes(DATA)
    (folder / "linked").symlink_to("../secret")
    return "linked"


def linked_parent(folder: Path) -> str:
    (folder.parent / "secret").write_bytes(DATA)
    (folder / "parent").symlink_to("..")
    return "parent/secret"


def hard_link(folder: Path) -> str:
    (folder.parent / "secret").write_bytes(DATA)
    (folder / "linked").hardlink_to(folder.parent / "secret")
    return "linked"


def memory_address(folder: Path) -> str:
    """The runtime's own mark for tensors that are in memory already, at the offset's address."""
    return "*/_ORT_MEM_ADDR_/*"


LOCATIONS: dict[str, Callable[[Path], str]] = {
    "above": above,
    "above by a detour": above_by_a_detour,
    "absolute": absolute,
    "device": device,
    "symbolic link": symbolic_link,
    "linked parent": linked_parent,
    "hard link": hard_link,
    "memory address": memory_address,
}

REFUSED = {"symbolic link": "is a link", "hard link": "does not match its hash"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    return tmp_path / "package"


@pytest.mark.parametrize("place", LOCATIONS)
@pytest.mark.parametrize("position", POSITIONS)
def test_a_file_that_the_manifest_does_not_name(position: str, place: str, folder: Path) -> None:
    location = LOCATIONS[place](folder)
    write_hostile_package(folder, POSITIONS[position](location))
    check_refused(folder, "takes weights from .*, which is no file of this package")


@pytest.mark.parametrize("place", LOCATIONS)
@pytest.mark.parametrize("position", POSITIONS)
def test_a_file_that_the_manifest_names(position: str, place: str, folder: Path) -> None:
    """The manifest itself is hostile too, so what it names must be a file of the folder.

    A hard link is one; but who writes a manifest cannot know the hash of somebody else's secret.
    """
    location = LOCATIONS[place](folder)
    manifest = write_hostile_package(folder, POSITIONS[position](location))
    known = DATA if place != "hard link" else bytes(len(DATA))
    vouched = {location: FileEntry(size=len(DATA), sha256=hashlib.sha256(known).hexdigest())}
    write_manifest(replace(manifest, files=vouched | manifest.files), folder)
    check_refused(folder, REFUSED.get(place, "which is no plain file name"))


@pytest.mark.parametrize("position", POSITIONS)
def test_every_position_is_seen(position: str) -> None:
    model = POSITIONS[position]("here").SerializeToString()
    assert set(external_locations(model)) == {"here"}


@pytest.mark.parametrize("position", [name for name in POSITIONS if name != "sparse constant"])
def test_a_file_of_the_package_is_let_through(position: str, folder: Path) -> None:
    """So the refusals above are not because nothing is ever accepted."""
    (folder / "more.data").write_bytes(DATA)
    manifest = write_hostile_package(folder, POSITIONS[position]("more.data"), "more.data")
    verify_files(manifest, folder)
    OnnxModel.load(folder, manifest)


def test_the_runtime_alone_follows_a_hard_link(folder: Path) -> None:
    """Why the check is ours; when this fails the runtime has learned it too."""
    model = initializer(hard_link(folder))
    del model.graph.input[:]
    (folder / MODEL_FILE).write_bytes(model.SerializeToString())
    session = ort.InferenceSession(folder / MODEL_FILE, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {})
    assert isinstance(found, np.ndarray)
    assert found.tobytes() == DATA


def test_a_package_reached_through_a_link_is_a_package(folder: Path) -> None:
    """Whoever names a folder may name it by a link; only what is inside is a stranger's."""
    manifest = write_hostile_package(folder, initializer(DATA_FILE))
    (folder.parent / "link").symlink_to(folder)
    verify_files(read_manifest(folder.parent / "link"), folder.parent / "link")
    OnnxModel.load(folder.parent / "link", manifest)


def check_seen(model: onnx.ModelProto, *locations: str) -> None:
    assert list(external_locations(model.SerializeToString())) == list(locations)


def test_a_location_that_is_given_twice_is_seen_twice() -> None:
    model = initializer("first")
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "second"
    check_seen(model, "first", "second")


def test_a_location_is_seen_though_the_tensor_does_not_call_itself_external() -> None:
    model = initializer("here")
    model.graph.initializer[0].ClearField("data_location")
    check_seen(model, "here")


def test_a_function_and_a_training_graph_are_looked_into() -> None:
    model = initializer("graph")
    node = helper.make_node("Constant", [], ["y"], value=external_tensor("function"))
    opset = helper.make_opsetid("", 21)
    model.functions.append(helper.make_function("local", "f", [], ["y"], [node], [opset]))
    model.training_info.add().algorithm.initializer.append(external_tensor("training"))
    assert set(external_locations(model.SerializeToString())) == {"graph", "function", "training"}


def test_a_field_number_of_more_than_32_bits_hides_nothing() -> None:
    """The runtime's parser reads its low bits only, and would find the graph behind it."""
    graph = initializer("hidden").graph.SerializeToString()
    assert len(graph) < 1 << 14
    size = bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7])
    tag = 7 << 3 | 2 | 1 << 32
    encoded = bytes([*(tag >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)), tag >> 28])
    with pytest.raises(ValueError, match="field number that is none"):
        list(external_locations(encoded + size + graph))


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        list(external_locations(_field(7, _wrapped(100))))


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(content)) + content


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _wrapped(depth: int) -> bytes:
    """Return a graph whose node has an attribute that is a graph, and so on."""
    content = b""
    for _ in range(depth):
        content = _field(1, _field(5, _field(6, content)))
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"graph" * 100,
        b"<html>",
        b"\x3a",
        b"\x3a\xff",
        b"\x3a\x05ab",
        b"\xff" * 20,
        b"\x0d\0",
        b"{}",
    ],
)
def test_what_is_no_graph_is_refused(content: bytes, folder: Path) -> None:
    write_hostile_package(folder, onnx.ModelProto())
    (folder / MODEL_FILE).write_bytes(content)
    manifest = read_manifest(folder)
    with pytest.raises(InvalidModelError, match=r"onnxruntime cannot load .*model\.onnx"):
        OnnxModel.load(folder, manifest)


def test_a_graph_without_end_is_not_read(folder: Path) -> None:
    manifest = write_hostile_package(folder, onnx.ModelProto())
    os.truncate(folder / MODEL_FILE, 1 << 30)
    with pytest.raises(InvalidModelError, match="larger than"):
        OnnxModel.load(folder, manifest)
