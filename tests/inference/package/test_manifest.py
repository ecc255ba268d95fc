"""manifest: what is written is read back, and nothing else is believed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from inference.errors import InvalidModelError, ModelNotFoundError
from inference.fim import FimTemplate
from inference.package.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    Architecture,
    FileEntry,
    ModelManifest,
    Parameters,
    Source,
    read_manifest,
    verify_files,
    write_manifest,
)
from tests.faults.packages import DATA_FILE, write_package

COUNTS = st.integers(0, 2**60)
POSITIVE = st.integers(1, 2**60)
TOKEN_IDS = st.integers(0, 2**31)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ENTRIES = st.builds(FileEntry, size=COUNTS, sha256=st.from_regex("[0-9a-f]{64}", fullmatch=True))
MANIFESTS = st.builds(
    ModelManifest,
    name=TEXT,
    source=st.builds(Source, name=TEXT, revision=st.none() | TEXT),
    exporter_version=TEXT,
    precision=st.sampled_from(["f32", "f16", "int8", "int4"]),
    block_size=st.none() | POSITIVE,
    architecture=st.builds(
        Architecture,
        model_type=TEXT,
        **dict.fromkeys(
            (
                *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
                *("num_key_value_heads", "head_dim"),
            ),
            POSITIVE,
        ),
        num_experts=COUNTS,
        num_experts_per_tok=COUNTS,
    ),
    parameters=st.builds(Parameters, total=COUNTS, active=COUNTS),
    context_length=POSITIVE,
    eos_token_ids=st.lists(TOKEN_IDS, min_size=1, max_size=3).map(tuple),
    fim=st.none()
    | st.builds(
        FimTemplate,
        order=st.sampled_from(["psm", "spm", "suffix_prefix"]),
        prefix_token_id=TOKEN_IDS,
        suffix_token_id=TOKEN_IDS,
        middle_token_id=TOKEN_IDS,
        pad_token_id=st.none() | TOKEN_IDS,
    ),
    leading_token_ids=st.lists(TOKEN_IDS, max_size=2).map(tuple),
    files=st.dictionaries(st.sampled_from([DATA_FILE, "added_tokens.json"]), ENTRIES).flatmap(
        lambda files: st.builds(
            lambda model, tokenizer: {**files, MODEL_FILE: model, TOKENIZER_FILE: tokenizer},
            ENTRIES,
            ENTRIES,
        )
    ),
    quality=st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
)

same_folder = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@same_folder
@given(MANIFESTS)
def test_what_is_written_is_read_back(tmp_path: Path, manifest: ModelManifest) -> None:
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path) == manifest


@same_folder
@given(MANIFESTS, st.data())
def test_a_manifest_with_bytes_changed_is_invalid(
    tmp_path: Path, manifest: ModelManifest, data: st.DataObject
) -> None:
    write_manifest(manifest, tmp_path)
    original = (tmp_path / MANIFEST_FILE).read_bytes()
    text = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    assume(text != original)
    (tmp_path / MANIFEST_FILE).write_bytes(text)
    with pytest.raises(InvalidModelError) as caught:
        read_manifest(tmp_path)
    assert str(tmp_path / MANIFEST_FILE) in str(caught.value)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    write_package(folder)
    return folder


@given(st.sampled_from([MODEL_FILE, DATA_FILE, TOKENIZER_FILE]), st.data())
def test_a_bit_flipped_in_any_file_is_found(package: Path, name: str, data: st.DataObject) -> None:
    content = (package / name).read_bytes()
    flipped = bytearray(content)
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    (package / name).write_bytes(flipped)
    with pytest.raises(InvalidModelError, match=f"{name} does not match its hash"):
        verify_files(read_manifest(package), package)
    (package / name).write_bytes(content)


def refuses(folder: Path, text: bytes, error: str) -> None:
    """A manifest with this text is refused, naming the file, the fault and the remedy."""
    (folder / MANIFEST_FILE).write_bytes(text)
    with pytest.raises(InvalidModelError, match=error) as caught:
        read_manifest(folder)
    assert str(folder / MANIFEST_FILE) in str(caught.value)
    assert "export again" in str(caught.value)


def changed(folder: Path, **fields: object) -> bytes:
    """Return the text of a good manifest with other fields; None takes a field out."""
    write_package(folder)
    manifest: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_bytes())
    for name, value in fields.items():
        if value is None:
            del manifest[name]
        else:
            manifest[name] = value
    return json.dumps(manifest).encode()


def test_a_good_package_is_accepted(tmp_path: Path) -> None:
    manifest = write_package(tmp_path)
    assert read_manifest(tmp_path) == manifest
    verify_files(manifest, tmp_path)


def test_without_a_manifest_there_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no manifest.json in .* run `inkling export`"):
        read_manifest(tmp_path)


def test_a_folder_named_like_a_manifest_is_none(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).mkdir()
    with pytest.raises(ModelNotFoundError, match=r"no manifest.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"null", b"[]", b"<html>", b"\0" * 100, b'{"name": "\xff"}', b"[" * 9999]
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: bytes) -> None:
    refuses(tmp_path, text, error="is not a valid manifest")


def test_a_manifest_without_end_is_not_read(tmp_path: Path) -> None:
    refuses(tmp_path, b" " * ((1 << 20) + 1), error="larger than 1048576 bytes")


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path, changed(tmp_path, trust_remote_code=True), error="trust_remote_code")


@pytest.mark.parametrize("field", ["name", "architecture", "files", "eos_token_ids", "fim"])
def test_a_missing_field_is_refused(tmp_path: Path, field: str) -> None:
    refuses(tmp_path, changed(tmp_path, **{field: None}), error=f"required field `{field}`")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("precision", "int3"),
        ("context_length", 0),
        ("context_length", -1),
        ("context_length", "many"),
        ("eos_token_ids", []),
        ("eos_token_ids", [-1]),
        ("fim", {"order": "spm"}),
        ("architecture", {}),
        ("files", []),
        ("files", {MODEL_FILE: {"size": -1, "sha256": "0" * 64}}),
        ("files", {MODEL_FILE: {"size": 1, "sha256": "0" * 63}}),
        ("files", {MODEL_FILE: {"size": 1, "sha256": "G" * 64}}),
    ],
)
def test_a_value_out_of_bounds_is_refused(tmp_path: Path, field: str, value: object) -> None:
    refuses(tmp_path, changed(tmp_path, **{field: value}), error=rf"at `\$\.{field}")


@pytest.mark.parametrize("missing", [MODEL_FILE, TOKENIZER_FILE])
def test_a_manifest_must_name_the_files_that_are_loaded(tmp_path: Path, missing: str) -> None:
    files = json.loads(changed(tmp_path))["files"]
    del files[missing]
    refuses(tmp_path, changed(tmp_path, files=files), error=f"names no {missing}")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../model.onnx", "a/b", "/etc/hosts", "a\\b", "C:model", "model:stream"),
        *("a\0b", "a\nb", "a ", " a", "naïve", ".hidden", "a" * 256, MANIFEST_FILE, "~"),
    ],
)
def test_a_name_that_is_more_than_a_name_is_refused(tmp_path: Path, name: str) -> None:
    files = json.loads(changed(tmp_path))["files"]
    files[name] = files[MODEL_FILE]
    refuses(tmp_path, changed(tmp_path, files=files), error="no plain file name")


def finds(folder: Path, error: str) -> None:
    manifest = read_manifest(folder)
    with pytest.raises(InvalidModelError, match=error):
        verify_files(manifest, folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data file of a good package, to be harmed."""
    write_package(tmp_path)
    return tmp_path / DATA_FILE


def test_a_missing_file_is_found(data: Path) -> None:
    data.unlink()
    finds(data.parent, error="model.onnx.data is missing; export or install again")


def test_a_truncated_file_is_found(data: Path) -> None:
    os.truncate(data, 1023)
    finds(data.parent, error="1023 bytes instead of 1024; it is truncated")


def test_a_file_that_grew_is_found(data: Path) -> None:
    data.write_bytes(data.read_bytes() + b"\0")
    finds(data.parent, error="1025 bytes instead of 1024")


def test_a_symbolic_link_is_found(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))
    data.symlink_to("elsewhere")
    finds(data.parent, error="is a link or not a regular file; copy it instead")


def test_a_hard_link_is_as_good_as_its_bytes(data: Path) -> None:
    """Installers link files from their caches."""
    data.with_name("elsewhere").hardlink_to(data)
    verify_files(read_manifest(data.parent), data.parent)


def test_a_folder_in_a_files_place_is_found(data: Path) -> None:
    data.unlink()
    data.mkdir()
    finds(data.parent, error="is a link or not a regular file")


def test_a_pipe_in_a_files_place_is_found(data: Path) -> None:
    data.unlink()
    os.mkfifo(data)
    finds(data.parent, error="is a link or not a regular file")


def test_a_file_that_the_manifest_does_not_name_is_not_looked_at(data: Path) -> None:
    (data.parent / "config.json").symlink_to("/nowhere")
    verify_files(read_manifest(data.parent), data.parent)
