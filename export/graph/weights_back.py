"""Find a package's weights again: which bytes of its data file are which tensor of its spec.

Layers concatenate, interleave and rearrange weights on their way into the graph. None of that is
undone by hand here: the decoder is built once more with weights whose rows are numbers, and where
the numbers come out the rows of the package lie. So a family needs nothing for its way back.
"""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt

from export.errors import PackageError
from export.graph.builder import GraphBuilder, StoredWeight, stored_weights
from export.graph.data_file import DATA_FILE, DataFile
from export.graph.decoder import build_decoder
from export.graph.weights import OnDemand, dequantized
from export.quantization.blockwise import Float, Float32, Quantized, Weight
from export.quantization.scheme import Scheme, scheme_slots
from export.spec.decoder import DecoderSpec, Slot, slots
from inference.package.manifest import MODEL_FILE

Numbers = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

_STEP: Final = 4
"""Rows are numbered in steps, so that what a layer adds to a weight is seen beside the number."""


class _Piece(msgspec.Struct, frozen=True):
    """Where some rows of a tensor lie: `positions` among the equal runs of one stored weight."""

    weight: StoredWeight
    num_runs: int
    positions: Numbers
    rows: Numbers
    added: float


class _Sink:
    """Stands for the data file while the decoder is built: it keeps what is numbered."""

    def __init__(self) -> None:
        self.written: list[Array] = []
        self._length = 0

    def tell(self) -> int:
        return self._length

    def write(self, data: bytes | memoryview) -> None:
        if isinstance(data, memoryview):
            self.written.append(np.array(data))
        self._length += len(data) if isinstance(data, bytes) else data.nbytes


def package_values(folder: Path, spec: DecoderSpec, scheme: Scheme) -> Mapping[str, Float32]:
    """Return each slot's values as the package computes with them, made when asked for.

    Raises PackageError where the package was not made from this spec and scheme.
    """
    return dequantized(package_weights(folder, spec, scheme))


def package_weights(folder: Path, spec: DecoderSpec, scheme: Scheme) -> Mapping[str, Weight]:
    """Return each slot's weight as the package holds it, read when asked for.

    Raises PackageError where the package was not made from this spec and scheme.
    """
    needed = scheme_slots(scheme, slots(spec))
    numbers = _Numbers(needed, scheme)
    sink = _Sink()
    graph = GraphBuilder(DataFile(cast("BinaryIO", sink)))
    build_decoder(graph, spec, OnDemand(needed, numbers.weight), context_length=1)
    stored = stored_weights(folder / MODEL_FILE)
    if len(stored) != len(sink.written):
        raise PackageError(
            f"{folder} has {len(stored)} weights where {len(sink.written)} were expected; it was "
            "made by another version or with another scheme"
        )
    pieces: dict[tuple[str, str], list[_Piece]] = {}
    for weight, written in zip(stored, sink.written, strict=True):
        for key, piece in numbers.pieces(weight, written):
            pieces.setdefault(key, []).append(piece)
    reader = _Reader(folder / DATA_FILE, needed, pieces)
    return OnDemand(needed, reader.read)


class _Numbers:
    """Numbers for the rows of all tensors, one range for each kind of array of each slot."""

    def __init__(self, needed: Mapping[str, Slot], scheme: Scheme) -> None:
        self._needed = needed
        self._scheme = scheme
        self._keys: list[tuple[str, str]] = []
        self._firsts: list[int] = [0]

    def weight(self, name: str) -> Weight:
        """Return a weight of the right type whose rows are one number wide."""
        slot = self._needed[name]
        grid = self._scheme.grid(name, slot)
        if grid is None:
            return Float(cast("Float32", self._range(name, "values", _rows_shape(slot))))
        kinds = ("data", "scales", *(("zero_points",) if grid.has_zero_points else ()))
        rows = {kind: cast("Any", self._range(name, kind, _rows_shape(slot))) for kind in kinds}
        return Quantized(bits=8, block_size=1, **rows)

    def pieces(
        self, weight: StoredWeight, written: Array
    ) -> Sequence[tuple[tuple[str, str], _Piece]]:
        """Return which rows of which tensors a stored weight holds; none where it holds tables."""
        if written.dtype == np.float32:
            return []
        flat = written.reshape(-1)
        numbers = np.floor_divide(flat, _STEP).astype(np.int64)
        added = float(flat[0] - _STEP * numbers[0])
        firsts = np.array(self._firsts, np.int64)
        owners = np.searchsorted(firsts, numbers, side="right") - 1
        found: list[tuple[tuple[str, str], _Piece]] = []
        for owner in map(int, np.unique(owners)):
            positions = np.flatnonzero(owners == owner)
            rows = (numbers[positions] - firsts[owner]).astype(np.int64)
            found.append((self._keys[owner], _Piece(weight, flat.size, positions, rows, added)))
        return found

    def _range(self, name: str, kind: str, shape: Sequence[int]) -> Numbers:
        first, size = self._firsts[-1], prod(shape)
        self._keys.append((name, kind))
        self._firsts.append(first + size)
        return _STEP * np.arange(first, first + size, dtype=np.int64).reshape(shape)


class _Reader:
    def __init__(
        self,
        data: Path,
        needed: Mapping[str, Slot],
        pieces: Mapping[tuple[str, str], Sequence[_Piece]],
    ) -> None:
        self._data = data
        self._needed = needed
        self._pieces = pieces

    def read(self, name: str) -> Weight:
        slot = self._needed[name]
        if (name, "values") in self._pieces:
            return Float(self._rows(name, "values").reshape(slot.shape))
        kinds = [kind for kind in ("data", "scales", "zero_points") if (name, kind) in self._pieces]
        parts = {kind: self._rows(name, kind).reshape(*slot.shape[:-1], -1) for kind in kinds}
        columns = slot.shape[-1]
        return Quantized(
            bits=parts["data"].shape[-1] * 8 // columns,
            block_size=columns // parts["scales"].shape[-1],
            **parts,
        )

    def _rows(self, name: str, kind: str) -> Array:
        """Return an array [rows, width]; each row must have been found exactly once."""
        pieces = self._pieces.get((name, kind), [])
        num_rows = prod(_rows_shape(self._needed[name]))
        rows = np.concatenate([piece.rows for piece in pieces]) if pieces else np.zeros(0, np.int64)
        if not np.array_equal(np.sort(rows), np.arange(num_rows)):
            raise PackageError(
                f"{self._data} does not hold every row of {name} once; such a model has no way back"
            )
        return np.concatenate([self._runs(piece) for piece in pieces])[np.argsort(rows)]

    def _runs(self, piece: _Piece) -> Array:
        weight = piece.weight
        stored = np.memmap(
            self._data, weight.dtype, "r", offset=weight.offset, shape=(weight.num_values,)
        )
        runs = stored.reshape(piece.num_runs, -1)[piece.positions]
        return runs - np.asarray(piece.added, runs.dtype) if piece.added else runs


def _rows_shape(slot: Slot) -> tuple[int, ...]:
    """Return the shape of a tensor whose rows are one wide; vectors may be cut anywhere."""
    is_matrix = len(slot.shape) > 1 and slot.role not in {"bias", "norm"}
    return (*slot.shape[:-1], 1) if is_matrix else slot.shape
