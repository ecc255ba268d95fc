"""Read tensors from safetensors files, one at a time, after checking every figure in the header.

The format (https://github.com/huggingface/safetensors, "Format"): eight bytes of header length,
a JSON header with dtype, shape and byte range of each tensor, then the bytes without a hole.
Nothing is mapped before dtype, shape, range and file size agree.

Invariant 19: no torch, and no code of the checkpoint is run; pickled files are refused.
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
import numpy.typing as npt

from export.checkpoint.block_scaled import Packing, find_packing
from export.checkpoint.config import read_json
from export.checkpoint.gptq_awq import (
    OPTIONAL_PARTS,
    PART_DTYPES,
    PARTS,
    Grouping,
    grouped_shape,
    unpack_integers,
    widen,
)
from export.checkpoint.stored import Integers
from export.errors import CheckpointError, UnsupportedError

SINGLE_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
MAX_HEADER_BYTES: Final = 100_000_000
"""The format's own limit."""

MAX_DIMENSIONS: Final = 8
PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "U8": np.dtype(np.uint8),
    "I32": np.dtype("<i4"),
}

WEIGHT_DTYPES: Final = ("F32", "F16", "BF16")
"""Those that stand for numbers without scales beside them."""

Float32 = npt.NDArray[np.float32]


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


class PackedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that is stored as two, values of few bits and scales."""

    packing: Packing
    values: TensorEntry
    scales: TensorEntry
    shape: tuple[int, ...]

    is_rounded = False

    @property
    def stored_as(self) -> str:
        return self.values.dtype


class GroupedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A matrix that GPTQ or AWQ rounded, stored as several tensors."""

    grouping: Grouping
    parts: dict[str, TensorEntry]
    shape: tuple[int, ...]

    is_rounded = True

    @property
    def stored_as(self) -> str:
        return f"{self.grouping.layout} int{self.grouping.bits}"


Entry = TensorEntry | PackedEntry | GroupedEntry


class SafetensorsCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of a folder by name. Every entry was checked against its file."""

    folder: Path
    tensors: dict[str, Entry]

    def read(self, name: str) -> Float32:
        """Read one tensor as float32, in memory of its own.

        Raises CheckpointError where a number is infinite or none.
        """
        match self.tensors[name]:
            case TensorEntry() as entry:
                values = np.array(_mapped(entry), np.float32)
            case PackedEntry() as entry:
                values = entry.packing.unpack(_mapped(entry.values), _mapped(entry.scales))
            case GroupedEntry():
                return widen(self._read_integers(name))
        self._check_finite(name, values)
        return values

    def integers(self, name: str, *, bits: int, block_size: int) -> Integers | None:
        """Read what GPTQ or AWQ rounded, where it lies in such blocks; see Checkpoint.

        Raises CheckpointError where a scale is infinite or none.
        """
        entry = self.tensors[name]
        if not isinstance(entry, GroupedEntry) or entry.grouping.bits != bits:
            return None
        found = self._read_integers(name)
        return found if found.in_order_of(block_size) else None

    def _read_integers(self, name: str) -> Integers:
        entry = self.tensors[name]
        assert isinstance(entry, GroupedEntry)
        parts = {part: _mapped(tensor) for part, tensor in entry.parts.items()}
        integers = unpack_integers(entry.grouping, parts, name)
        self._check_finite(name, integers.scales)
        return integers

    def _check_finite(self, name: str, values: Float32) -> None:
        if not np.isfinite(values).all():
            raise CheckpointError(f"{self.folder}: {name} has numbers that are not finite")


def open_checkpoint(folder: Path, grouping: Grouping | None = None) -> SafetensorsCheckpoint:
    """Check the headers of a folder's safetensors files; read no weight yet.

    `grouping` is how its config says that GPTQ or AWQ stored matrices.
    Raises CheckpointError for a missing or damaged file, UnsupportedError for what is not
    safetensors or holds a dtype that is not read.
    """
    if (folder / INDEX_FILE).is_file():
        tensors = _joined(_read_index(folder), grouping)
        return SafetensorsCheckpoint(folder=folder, tensors=tensors)
    if (folder / SINGLE_FILE).is_file():
        tensors = _joined(_read_header(folder / SINGLE_FILE), grouping)
        return SafetensorsCheckpoint(folder=folder, tensors=tensors)
    pickled = sorted(path for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        raise UnsupportedError(
            f"{pickled[0]} is a pickle, which can run code when it is read; "
            "convert the checkpoint to safetensors first"
        )
    raise CheckpointError(f"no {SINGLE_FILE} and no {INDEX_FILE} in {folder}")


def _mapped(entry: TensorEntry) -> npt.NDArray[Any]:
    if entry.size == 0:
        return np.zeros(entry.shape, DTYPES[entry.dtype])
    return np.memmap(entry.path, DTYPES[entry.dtype], "r", offset=entry.offset, shape=entry.shape)


def _joined(tensors: Mapping[str, TensorEntry], grouping: Grouping | None) -> dict[str, Entry]:
    """Put packed tensors in the place of their parts, and refuse parts that are alone."""
    grouped = {} if grouping is None else _grouped_entries(tensors, grouping)
    parts = {f"{name.removesuffix('weight')}{part}" for name in grouped for part in PARTS}
    plain = {name: entry for name, entry in tensors.items() if name not in parts}
    for name in grouped.keys() & plain.keys():
        raise CheckpointError(f"{plain[name].path} holds {name} twice, once of it in few bits")
    return _unpacked(plain) | grouped


def _grouped_entries(tensors: Mapping[str, TensorEntry], grouping: Grouping) -> dict[str, Entry]:
    """Find the matrices of `X.qweight` and the like; each is called X.weight."""
    found: dict[str, Entry] = {}
    for stem in (name.removesuffix("qweight") for name in tensors if name.endswith(".qweight")):
        parts = {part: tensors[stem + part] for part in PARTS if stem + part in tensors}
        path = parts["qweight"].path
        for part in PARTS:
            if part not in parts and part not in OPTIONAL_PARTS:
                raise CheckpointError(f"{path} holds {stem}qweight, but no file {stem}{part}")
            if part in parts and parts[part].dtype not in PART_DTYPES[part]:
                raise UnsupportedError(f"{path} stores {stem}{part} as {parts[part].dtype}")
        shapes = {part: entry.shape for part, entry in parts.items()}
        shape = grouped_shape(grouping, shapes)
        if shape is None:
            sizes = ", ".join(f"{part} {list(size)}" for part, size in shapes.items())
            raise CheckpointError(
                f"{path}: the parts of {stem}weight do not fit {grouping.bits} bits in groups of "
                f"{grouping.group_size} as {grouping.layout} stores them: {sizes}"
            )
        found[f"{stem}weight"] = GroupedEntry(grouping=grouping, parts=parts, shape=shape)
    return found


def _unpacked(tensors: Mapping[str, TensorEntry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    parts: set[str] = set()
    kinds = {name: (entry.dtype, entry.shape) for name, entry in tensors.items()}
    for name, entry in tensors.items():
        packed = find_packing(name, kinds)
        if packed is None:
            found[name] = entry
            continue
        packing, unpacked_name, scales_name = packed
        found[unpacked_name] = _packed_entry(name, packing, entry, tensors[scales_name])
        parts |= {scales_name} | packing.unused_names(unpacked_name)
    for name in parts:
        found.pop(name, None)
    for name, entry in found.items():
        if isinstance(entry, TensorEntry) and entry.dtype not in WEIGHT_DTYPES:
            raise UnsupportedError(
                f"{entry.path} stores {name} as {entry.dtype} without scales that are known; "
                f"only {', '.join(WEIGHT_DTYPES)}, MXFP4, FP8 with scales of blocks or "
                "matrices, and what GPTQ and AWQ store are implemented"
            )
    return found


def _packed_entry(
    name: str, packing: Packing, values: TensorEntry, scales: TensorEntry
) -> PackedEntry:
    shape = packing.shape(values.shape, scales.shape)
    if shape is None:
        raise CheckpointError(
            f"{values.path}: {name} has shape {list(values.shape)}, which does not fit its scales "
            f"of {list(scales.shape)} in {packing.name}"
        )
    return PackedEntry(packing=packing, values=values, scales=scales, shape=shape)


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def read_weight_map(index: Path) -> dict[str, str]:
    """Return which shard the index says holds each tensor; no name was checked yet."""
    return read_json(index, _Index, max_bytes=MAX_HEADER_BYTES).weight_map


def _read_index(folder: Path) -> dict[str, TensorEntry]:
    index = folder / INDEX_FILE
    places = read_weight_map(index)
    shards = sorted(set(places.values()))
    for shard in shards:
        if PurePath(shard).name != shard or "\\" in shard or not shard.endswith(".safetensors"):
            raise CheckpointError(f"{index} names {shard!r}, no safetensors file beside it")
    tensors: dict[str, TensorEntry] = {}
    for shard in shards:
        for name, entry in _read_header(folder / shard).items():
            if places.get(name) != shard:
                raise CheckpointError(f"{index} does not say that {shard} holds {name}")
            tensors[name] = entry
    missing = sorted(places.keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"{folder / places[missing[0]]} does not hold {missing[0]}")
    return tensors


def _read_header(path: Path) -> dict[str, TensorEntry]:
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
