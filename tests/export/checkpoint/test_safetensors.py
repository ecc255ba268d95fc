"""checkpoint: what a true writer wrote is read back; damage of any kind is refused in words."""

import contextlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from export.checkpoint.safetensors import INDEX_FILE, SINGLE_FILE, open_checkpoint
from export.errors import CheckpointError, ExportError, UnsupportedError
from tests.support.tiny_checkpoints import TINY_MODELS, random_tensors, write_tiny_checkpoint

TENSORS = {
    "vector": np.arange(5, dtype=np.float32),
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4) / 7,
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(2.5, np.float32),
}


def check_refused(folder: Path, because: str) -> None:
    with pytest.raises(ExportError, match=because):
        open_checkpoint(folder)


def write_raw(folder: Path, header: dict[str, Any], data: bytes = b"") -> None:
    encoded = json.dumps(header).encode()
    (folder / SINGLE_FILE).write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_every_dtype_is_widened_exactly(dtype: Any, tmp_path: Path) -> None:
    stored = {name: values.astype(dtype) for name, values in TENSORS.items()}
    save_file(stored, tmp_path / SINGLE_FILE)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.tensors.keys() == TENSORS.keys()
    for name, values in stored.items():
        found = checkpoint.read(name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values.astype(np.float32))


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, num_shards=3)
    checkpoint = open_checkpoint(tmp_path)
    for name, values in random_tensors(TINY_MODELS[0]).items():
        np.testing.assert_array_equal(checkpoint.read(name), values)


def test_a_tensor_does_not_keep_its_file_open(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE_FILE)
    read = open_checkpoint(tmp_path).read("matrix")
    assert read.base is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(value: float, tmp_path: Path) -> None:
    save_file({"a": np.array([1.0, value], np.float32)}, tmp_path / SINGLE_FILE)
    with pytest.raises(CheckpointError, match="a has numbers that are not finite"):
        open_checkpoint(tmp_path).read("a")


def test_an_empty_folder(tmp_path: Path) -> None:
    check_refused(tmp_path, "no model.safetensors and no model.safetensors.index.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_a_pickle_is_never_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(UnsupportedError, match=f"{name} is a pickle.*convert"):
        open_checkpoint(tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / SINGLE_FILE).touch()
    check_refused(tmp_path, "truncated or damaged")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 400))
def test_a_file_cut_anywhere(cut: int, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE_FILE)
    content = (tmp_path / SINGLE_FILE).read_bytes()
    (tmp_path / SINGLE_FILE).write_bytes(content[: max(0, len(content) - cut)])
    check_refused(tmp_path, "truncated or damaged")


def test_a_file_with_something_behind_it(tmp_path: Path) -> None:
    write_raw(tmp_path, {"a": entry([1], 0, 4)}, b"\0" * 5)
    check_refused(tmp_path, "instead of")


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_of_the_header_is_refused_or_only_renames(
    position: int, bit: int, tmp_path: Path
) -> None:
    """It never raises anything else, and never reads outside the file."""
    save_file(TENSORS, tmp_path / SINGLE_FILE)
    content = bytearray((tmp_path / SINGLE_FILE).read_bytes())
    header_end = 8 + struct.unpack("<Q", content[:8])[0]
    content[position % header_end] ^= 1 << bit
    (tmp_path / SINGLE_FILE).write_bytes(content)
    try:
        checkpoint = open_checkpoint(tmp_path)
    except ExportError:
        return
    for name, found in checkpoint.tensors.items():
        with contextlib.suppress(CheckpointError):  # the dtype may be another one now
            assert checkpoint.read(name).shape == found.shape
        assert found.offset + found.size <= len(content)


damage = pytest.mark.parametrize(
    ("header", "data", "because"),
    [
        ({"a": entry([2], 0, 4)}, b"\0" * 4, "shape"),
        ({"a": entry([-1], 0, -4)}, b"", "shape"),
        ({"a": entry([-1, -1], 0, 4)}, b"\0" * 4, "shape"),
        ({"a": entry([1], 4, 8)}, b"\0" * 8, "begins at byte"),
        ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"\0" * 4, "begins at byte"),
        ({"a": entry([1 << 40, 1 << 40], 0, 4)}, b"\0" * 4, "shape"),
        ({"a": entry([1], -4, 0)}, b"", "shape"),
        ({"a": {"dtype": "F32"}}, b"", "header is not valid"),
        ({"a": 3}, b"", "header is not valid"),
        ({"a": entry([1], 0, 8, "F64")}, b"\0" * 8, "stores a as F64; only F32, F16, BF16"),
        ({"a": entry([1], 0, 1, "F8_E4M3")}, b"\0", "stores a as F8_E4M3"),
    ],
)


@damage
def test_a_header_that_contradicts_itself(
    header: dict[str, Any], data: bytes, because: str, tmp_path: Path
) -> None:
    write_raw(tmp_path, header, data)
    check_refused(tmp_path, because)


def test_a_header_length_beyond_the_file(tmp_path: Path) -> None:
    (tmp_path / SINGLE_FILE).write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    check_refused(tmp_path, "header claims")


def change_index(folder: Path, change: Callable[[dict[str, str]], None]) -> None:
    write_tiny_checkpoint(folder, num_shards=2)
    index = json.loads((folder / INDEX_FILE).read_text("utf-8"))
    change(index["weight_map"])
    (folder / INDEX_FILE).write_text(json.dumps(index), encoding="utf-8")


def test_a_missing_shard(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, num_shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    check_refused(tmp_path, r"cannot read .*model-00002-of-00002\.safetensors: No such file")


@pytest.mark.parametrize("name", ["../other.safetensors", "/other.safetensors", "model.bin", ".."])
def test_a_shard_outside_the_folder(name: str, tmp_path: Path) -> None:
    change_index(tmp_path, lambda places: places.update({"lm_head.weight": name}))
    check_refused(tmp_path, "no safetensors file beside it")


def test_a_tensor_that_no_shard_holds(tmp_path: Path) -> None:
    change_index(tmp_path, lambda places: places.update(ghost="model-00001-of-00002.safetensors"))
    check_refused(tmp_path, "does not hold ghost")


def test_a_tensor_that_the_index_does_not_name(tmp_path: Path) -> None:
    change_index(tmp_path, lambda places: places.pop("lm_head.weight") and None)
    check_refused(tmp_path, "does not say that .* holds lm_head.weight")


def test_an_index_without_a_map(tmp_path: Path) -> None:
    (tmp_path / INDEX_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="weight_map"):
        open_checkpoint(tmp_path)
