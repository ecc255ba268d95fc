"""Checkpoints made to harm: code in them never runs, and a header never leads outside its file."""

import json
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint.safetensors import INDEX_FILE, SINGLE_FILE, open_checkpoint
from export.errors import ExportError
from export.pipeline import export_checkpoint
from tests.support.exported import no_progress, tiny_options
from tests.support.tiny_checkpoints import write_json, write_tiny_checkpoint

OPTIONS = tiny_options()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A good checkpoint, to be harmed."""
    return write_tiny_checkpoint(tmp_path / "checkpoint")


def check_refused(checkpoint: Path, because: str) -> None:
    """The export names the reason and leaves nothing; had code run, it would have left a file."""
    with pytest.raises(ExportError, match=because):
        export_checkpoint(
            str(checkpoint), checkpoint.parent / "package", OPTIONS, progress=no_progress
        )
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint"]


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, (f"open({str(self._target)!r}, 'w').close()",)


def test_the_payload_would_run_if_it_were_read(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "model.pkl"])
def test_a_pickle_with_a_payload(name: str, checkpoint: Path) -> None:
    payload = Payload(checkpoint.parent / "ran")
    (checkpoint / SINGLE_FILE).unlink()
    (checkpoint / name).write_bytes(pickle.dumps(payload))
    check_refused(checkpoint, f"{name} is a pickle, which can run code")


def test_a_pickle_under_a_safetensors_name(checkpoint: Path) -> None:
    payload = Payload(checkpoint.parent / "ran")
    (checkpoint / SINGLE_FILE).write_bytes(pickle.dumps(payload))
    check_refused(checkpoint, "truncated or damaged")


def test_an_index_that_leads_to_a_pickle(checkpoint: Path) -> None:
    payload = Payload(checkpoint.parent / "ran")
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(payload))
    write_json(checkpoint / INDEX_FILE, {"weight_map": {"lm_head.weight": "pytorch_model.bin"}})
    check_refused(checkpoint, "no safetensors file beside it")


def change_config(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    write_json(path, json.loads(path.read_text("utf-8")) | changes)


def write_module(checkpoint: Path, name: str) -> None:
    target = str(checkpoint.parent / "ran")
    (checkpoint / f"{name}.py").write_text(f"open({target!r}, 'w').close()\n", encoding="utf-8")


OWN_CLASS = {
    "AutoConfig": "configuration_own.OwnConfig",
    "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"auto_map": OWN_CLASS},
        {"auto_map": OWN_CLASS, "architectures": ["OwnForCausalLM"]},
        {"auto_map": {"AutoConfig": "owner/other--configuration_own.OwnConfig"}},
        {"auto_map": OWN_CLASS, "trust_remote_code": True},
    ],
    ids=["a class", "its name", "another repository", "trust"],
)
def test_a_model_that_brings_its_code_is_read_by_ours(
    changes: dict[str, Any], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint)
    for name in ("configuration_own", "modeling_own", "tokenization_own"):
        write_module(checkpoint, name)
    change_config(checkpoint, **changes)
    before = set(sys.modules)
    export_checkpoint(".", checkpoint.parent / "package", OPTIONS, progress=no_progress)
    assert {path.name for path in checkpoint.parent.iterdir()} == {"checkpoint", "package"}
    assert not any(name.endswith("_own") for name in set(sys.modules) - before)


def test_a_class_that_is_no_language_model(checkpoint: Path) -> None:
    write_module(checkpoint, "modeling_own")
    auto_map = {"AutoModelForCausalLM": "modeling_own.OwnForSequenceClassification"}
    change_config(checkpoint, auto_map=auto_map, architectures=["OwnForSequenceClassification"])
    check_refused(checkpoint, "architectures = .*OwnForSequenceClassification")


def test_code_that_nothing_names_is_not_run(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even from the folder of the checkpoint, whose files are named as ours import theirs."""
    monkeypatch.chdir(checkpoint)
    for name in ("sitecustomize", "numpy", "tokenizers", "tokenization_own"):
        write_module(checkpoint, name)
    before = set(sys.modules)
    export_checkpoint(".", checkpoint.parent / "package", OPTIONS, progress=no_progress)
    assert not (checkpoint.parent / "ran").exists()
    assert "tokenization_own" not in set(sys.modules) - before


@pytest.mark.parametrize(
    ("name", "because"),
    [("config.json", "is not a regular file"), (SINGLE_FILE, "no model.safetensors")],
)
def test_a_pipe_in_a_files_place_is_not_waited_for(
    name: str, because: str, checkpoint: Path
) -> None:
    (checkpoint / name).unlink()
    os.mkfifo(checkpoint / name)
    check_refused(checkpoint, because)


def test_a_shard_that_is_a_device(checkpoint: Path) -> None:
    (checkpoint / "a.safetensors").symlink_to("/dev/zero")
    write_json(checkpoint / INDEX_FILE, {"weight_map": {"lm_head.weight": "a.safetensors"}})
    check_refused(checkpoint, "is not a regular file")


def test_a_config_that_is_a_device(checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()
    (checkpoint / "config.json").symlink_to("/dev/zero")
    check_refused(checkpoint, "is not a regular file")


def test_a_config_that_is_nested_without_end(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_bytes(b'{"a":' * 1_000_000)
    check_refused(checkpoint, "is not what it should be")


def entry(shape: Any, begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HEADERS: dict[str, tuple[object, int]] = {
    "an offset before the file": ({"a": entry([1], -4, 0)}, 0),
    "an offset behind the file": ({"a": entry([1], 1 << 40, (1 << 40) + 4)}, 4),
    "an offset that wraps around": ({"a": entry([1], (1 << 64) - 4, 1 << 64)}, 4),
    "an end before its beginning": ({"a": entry([1], 4, 0)}, 4),
    "three offsets": ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, 8),
    "offsets that are no integers": ({"a": entry([1], 0.0, 4.0)}, 4),
    "offsets in quotes": ({"a": entry([1], "0", "4")}, 4),
    "a range of another size": ({"a": entry([2], 0, 4)}, 4),
    "two tensors in one place": ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, 4),
    "two tensors that overlap": ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),
    "a gap": ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, 12),
    "a gap at the beginning": ({"a": entry([1], 4, 8)}, 8),
    "bytes behind the last tensor": ({"a": entry([1], 0, 4)}, 5),
    "a tensor that is cut off": ({"a": entry([2], 0, 8)}, 4),
    "a negative size": ({"a": entry([-1], 0, 4)}, 4),
    "two negative sizes": ({"a": entry([-1, -1], 0, 4)}, 4),
    "a size that overflows": ({"a": entry([1 << 62, 4], 0, 0)}, 0),
    "a size beyond 64 bits": ({"a": entry([1 << 64], 0, 0)}, 0),
    "sizes that multiply without end": ({"a": entry([9] * 100_000, 0, 4)}, 4),
    "a shape that is none": ({"a": entry(3, 0, 12)}, 12),
    "a dtype of no name": ({"a": entry([1], 0, 4, "X99")}, 4),
    "a dtype that is a number": ({"a": entry([1], 0, 4, 7)}, 4),
    "an object as dtype": ({"a": entry([1], 0, 8, "O")}, 8),
    "no dtype": ({"a": {"shape": [1], "data_offsets": [0, 4]}}, 4),
    "a list": ([], 0),
    "a text": ("header", 0),
}


def write_header(folder: Path, header: bytes, num_bytes: int, length: int | None = None) -> None:
    length = len(header) if length is None else length
    content = struct.pack("<Q", length) + header + b"\0" * num_bytes
    (folder / SINGLE_FILE).write_bytes(content)


def check_header_refused(folder: Path) -> None:
    with pytest.raises(ExportError, match=SINGLE_FILE):
        open_checkpoint(folder)


def test_a_good_header_is_accepted(tmp_path: Path) -> None:
    """So the refusals below are not because nothing is ever accepted."""
    write_header(tmp_path, json.dumps({"a": entry([2], 0, 8), "b": entry([], 8, 12)}).encode(), 12)
    assert [found.size for found in open_checkpoint(tmp_path).tensors.values()] == [8, 4]


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_with(name: str, tmp_path: Path) -> None:
    header, num_bytes = HEADERS[name]
    write_header(tmp_path, json.dumps(header).encode(), num_bytes)
    check_header_refused(tmp_path)


ONE = json.dumps({"a": entry([1], 0, 4)}).encode()


@pytest.mark.parametrize("length", [0, 1, len(ONE) - 1, len(ONE) + 1, 1 << 31, 1 << 63, 2**64 - 1])
def test_a_header_that_lies_about_its_length(length: int, tmp_path: Path) -> None:
    write_header(tmp_path, ONE, 4, length)
    check_header_refused(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        ONE[:-1] + b"," + ONE[1:],
        b'{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}',
        ONE[:-1] + b',"__metadata__":{"b":"","b":""}}',
    ],
    ids=["a tensor", "a shape", "metadata"],
)
def test_a_header_with_a_key_twice(header: bytes, tmp_path: Path) -> None:
    write_header(tmp_path, header, 4)
    with pytest.raises(ExportError, match="twice"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "header", [b'{"a":' * 100_000, b"\xff\xfe", b"{", b"{}{}", b"\0" * 8, b'{"a":NaN}']
)
def test_a_header_that_is_no_json(header: bytes, tmp_path: Path) -> None:
    write_header(tmp_path, header, 0)
    check_header_refused(tmp_path)
