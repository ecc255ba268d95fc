"""The headers of safetensors files: what lies where, after every figure was checked.

The format (https://github.com/huggingface/safetensors, "Format"): eight bytes of header length,
a JSON header with dtype, shape and byte range of each tensor, then the bytes without a hole.
Nothing is mapped before dtype, shape, range and file size agree.
"""

import json
import stat
import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path, PurePath
from typing import Annotated, Any, Final

import ml_dtypes
import msgspec
import numpy as np

from export.checkpoint.config import read_json
from export.errors import CheckpointError, UnsupportedError

SINGLE_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
MAX_HEADER_BYTES: Final = 100_000_000
"""The format's own limit."""

MAX_DIMENSIONS: Final = 8

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype(np.bool_),
}
"""Those that weights are stored in, and those of buffers beside them."""


class TensorEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Where one tensor lies: `offset` and `size` in bytes from the start of the file."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int

    is_rounded = False

    @property
    def stored_as(self) -> str:
        return self.dtype


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def read_weight_map(index: Path) -> dict[str, str]:
    """Return which shard the index says holds each tensor; no name was checked yet."""
    return read_json(index, _Index, max_bytes=MAX_HEADER_BYTES).weight_map


def read_index(folder: Path) -> dict[str, TensorEntry]:
    index = folder / INDEX_FILE
    places = read_weight_map(index)
    shards = sorted(set(places.values()))
    for shard in shards:
        if PurePath(shard).name != shard or "\\" in shard or not shard.endswith(".safetensors"):
            raise CheckpointError(f"{index} names {shard!r}, no safetensors file beside it")
    tensors: dict[str, TensorEntry] = {}
    for shard in shards:
        for name, entry in read_header(folder / shard).items():
            if places.get(name) != shard:
                raise CheckpointError(f"{index} does not say that {shard} holds {name}")
            tensors[name] = entry
    missing = sorted(places.keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"{folder / places[missing[0]]} does not hold {missing[0]}")
    return tensors


def read_header(path: Path) -> dict[str, TensorEntry]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise CheckpointError(f"{path} is not a regular file; download it again")
        size = status.st_size
        with path.open("rb") as file:
            length_bytes = file.read(8)
            length = struct.unpack("<Q", length_bytes)[0] if len(length_bytes) == 8 else size
            if length > min(size - 8, MAX_HEADER_BYTES):
                raise _damaged(path, f"its header claims {length} bytes")
            header = file.read(length)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    tensors = {
        name: _entry(path, name, fields, data_start=8 + length)
        for name, fields in _decode(path, header).items()
    }
    _check_ranges(path, tensors, data_start=8 + length, file_size=size)
    return tensors


class _HeaderEntry(msgspec.Struct):
    dtype: str
    shape: Annotated[list[int], msgspec.Meta(max_length=MAX_DIMENSIONS)]
    data_offsets: tuple[int, int]


def _decode(path: Path, header: bytes) -> dict[str, _HeaderEntry]:
    try:
        json.loads(header, object_pairs_hook=_without_duplicates)
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        return {name: msgspec.json.decode(value, type=_HeaderEntry) for name, value in raw.items()}
    except (ValueError, RecursionError) as error:  # decoding errors of both parsers are ValueErrors
        raise _damaged(path, f"its header is not valid: {error}") from error


def _without_duplicates(pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
    """Parsers differ in which of two equal keys they take, so neither is taken."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice")
    return found


def _entry(path: Path, name: str, fields: _HeaderEntry, *, data_start: int) -> TensorEntry:
    if fields.dtype not in DTYPES:
        raise UnsupportedError(
            f"{path} stores {name} as {fields.dtype}; only {', '.join(DTYPES)} are implemented"
        )
    begin, end = fields.data_offsets
    size = prod(fields.shape) * DTYPES[fields.dtype].itemsize
    if min([0, begin, *fields.shape]) < 0 or end - begin != size:
        raise _damaged(path, f"{name} has shape {fields.shape} and {end - begin} bytes")
    return TensorEntry(
        path=path,
        dtype=fields.dtype,
        shape=tuple(fields.shape),
        offset=data_start + begin,
        size=size,
    )


def _check_ranges(
    path: Path, tensors: Mapping[str, TensorEntry], *, data_start: int, file_size: int
) -> None:
    """Check that the tensors fill the file from the header to its end, without gap or overlap."""
    position = data_start
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size)):
        if entry.offset != position:
            raise _damaged(path, f"{name} begins at byte {entry.offset} instead of {position}")
        position += entry.size
    if position != file_size:
        raise _damaged(path, f"it has {file_size} bytes instead of {position}")


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or damaged: {reason}; download it again")
