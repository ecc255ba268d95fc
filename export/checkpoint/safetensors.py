"""Read tensors from safetensors files, one at a time, by the names that a family knows.

Invariant 19: no torch, and no code of the checkpoint is run; pickled files are refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from export.checkpoint.block_scaled import Packing, find_packing
from export.checkpoint.gptq_awq import (
    NEEDLESS_PARTS,
    PART_DTYPES,
    Grouping,
    grouped_shape,
    unpack_integers,
    widen,
)
from export.checkpoint.headers import (
    DTYPES,
    INDEX_FILE,
    SINGLE_FILE,
    TensorEntry,
    read_header,
    read_index,
)
from export.checkpoint.naming import Spelling, name_tensors
from export.checkpoint.recognition import weights_refusal
from export.checkpoint.stored import Integers
from export.errors import CheckpointError, UnsupportedError

WEIGHT_DTYPES: Final = ("F32", "F16", "BF16")
"""Those that stand for numbers without scales beside them."""

Float32 = npt.NDArray[np.float32]


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


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a config tells of the files: how GPTQ or AWQ stored matrices, and how names begin."""

    grouping: Grouping | None = None
    spelling: Spelling | None = None


class SafetensorsCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of a folder by name. Every entry was checked against its file."""

    folder: Path
    tensors: dict[str, Entry]
    remarks: tuple[str, ...] = ()

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


def open_checkpoint(folder: Path, reading: Reading | None = None) -> SafetensorsCheckpoint:
    """Check the headers of a folder's safetensors files; read no weight yet.

    Without a spelling tensors keep the names that they are stored by.
    Raises CheckpointError for a missing or damaged file, UnsupportedError for what is not
    safetensors or holds a dtype that is not read.
    """
    stored = _entries(folder)
    remarks: tuple[str, ...] = ()
    reading = reading or Reading()
    if reading.spelling is not None:
        named = name_tensors({n: entry.shape for n, entry in stored.items()}, reading.spelling)
        stored = {name: stored[place] for name, place in named.taken.items()}
        remarks = named.remarks
    tensors = _joined(stored, reading.grouping)
    return SafetensorsCheckpoint(folder=folder, tensors=tensors, remarks=remarks)


def _entries(folder: Path) -> dict[str, TensorEntry]:
    if (folder / INDEX_FILE).is_file():
        return read_index(folder)
    if (folder / SINGLE_FILE).is_file():
        return read_header(folder / SINGLE_FILE)
    raise weights_refusal(folder, (SINGLE_FILE, INDEX_FILE))


def _mapped(entry: TensorEntry) -> npt.NDArray[Any]:
    if entry.size == 0:
        return np.zeros(entry.shape, DTYPES[entry.dtype])
    return np.memmap(entry.path, DTYPES[entry.dtype], "r", offset=entry.offset, shape=entry.shape)


def _joined(tensors: Mapping[str, TensorEntry], grouping: Grouping | None) -> dict[str, Entry]:
    """Put packed tensors in the place of their parts, and refuse parts that are alone."""
    if grouping is None:
        return _unpacked(tensors)
    grouped = _grouped_entries(tensors, grouping)
    parts = {
        name.removesuffix("weight") + part
        for name in grouped
        for part in (*grouping.parts.values(), *NEEDLESS_PARTS)
    }
    plain = {name: entry for name, entry in tensors.items() if name not in parts}
    for name in grouped.keys() & plain.keys():
        raise CheckpointError(f"{plain[name].path} holds {name} twice, once of it in few bits")
    return _unpacked(plain) | grouped


def _grouped_entries(tensors: Mapping[str, TensorEntry], grouping: Grouping) -> dict[str, Entry]:
    """Find the matrices of `X.qweight` and the like; each is called X.weight."""
    found: dict[str, Entry] = {}
    suffix = grouping.parts["qweight"]
    for stem in (name.removesuffix(suffix) for name in tensors if name.endswith(f".{suffix}")):
        parts = {
            part: tensors[stem + stored]
            for part, stored in grouping.parts.items()
            if stem + stored in tensors
        }
        path = parts["qweight"].path
        for part, stored in grouping.parts.items():
            if part not in parts and part not in grouping.optional_parts:
                raise CheckpointError(f"{path} holds {stem}{suffix}, but no file {stem}{stored}")
            if part in parts and parts[part].dtype not in PART_DTYPES[part]:
                raise UnsupportedError(f"{path} stores {stem}{stored} as {parts[part].dtype}")
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
