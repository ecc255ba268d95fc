"""The numbers of a GGUF tensor, or its integers and scales where our operators can hold them.

ggml stores a row as blocks of 32 or 256 numbers. Those of 32 with one scale, and Q6_K's sixteen
parts with one scale each, are what MatMulNBits multiplies by, so they can be taken over exactly:

    Q4_0    4 bits, blocks of 32    (q - 8) * d
    Q5_0    8 bits, blocks of 32    (q - 16) * d
    Q8_0    8 bits, blocks of 32    q * d
    Q6_K    8 bits, blocks of 16    (q - 32) * d * s
    MXFP4   8 bits, blocks of 32    one of sixteen integers from -12 to 12, times 2^(e - 128)

The layouts are those of ggml-common.h (ggml-org/ggml); the library `gguf` widens every kind, which
is what these are held against in the tests.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from export.checkpoint.gguf.layout import TensorHeader
from export.checkpoint.stored import Integers
from export.cores import on_every_core, slices

Kind = GGMLQuantizationType
Bytes = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

FLOATS: Final = frozenset({Kind.F32, Kind.F16, Kind.BF16, Kind.F64})
PLAIN: Final[Mapping[Kind, str]] = {Kind.F32: "<f4", Kind.F16: "<f2", Kind.F64: "<f8"}
READ: Final = frozenset(
    {
        *PLAIN,
        *(Kind.BF16, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0),
        *(Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K, Kind.IQ4_NL, Kind.IQ4_XS),
        Kind.MXFP4,
    }
)


def row_bytes(header: TensorHeader) -> int:
    block_size, block_bytes = GGML_QUANT_SIZES[header.kind]
    return header.shape[-1] // block_size * block_bytes


def mapped_rows(header: TensorHeader) -> Bytes:
    """Return the rows of a tensor as they are stored, [rows, bytes]."""
    shape = header.size // row_bytes(header), row_bytes(header)
    return np.memmap(header.path, np.uint8, "r", offset=header.offset, shape=shape)


def widened(rows: Bytes, kind: Kind) -> Float32:
    """Return what stored rows stand for, [rows, columns]."""
    if kind in PLAIN:
        with np.errstate(over="ignore"):  # what becomes infinite is refused by the caller
            return np.ascontiguousarray(rows).view(PLAIN[kind]).astype(np.float32)
    block_size, block_bytes = GGML_QUANT_SIZES[kind]
    columns = rows.shape[1] // block_bytes * block_size
    found = np.empty((len(rows), columns), np.float32)

    def widen(part: slice) -> None:
        with np.errstate(all="ignore"):  # of this thread
            found[part] = gguf.dequantize(np.ascontiguousarray(rows[part]), kind)

    on_every_core(widen, slices(len(rows), columns))
    return found


def block_size_in(kinds: Sequence[Kind], bits: int) -> int | None:
    """Return the blocks in which most of so stored matrices can be taken over in so many bits."""
    counts = Counter(
        block_size
        for kind in kinds
        for known, known_bits, block_size in _TAKEN_OVER
        if (known, known_bits) == (kind, bits)
    )
    for block_size, count in counts.most_common(1):
        if 2 * count > len(kinds):
            return block_size
    return None


def as_integers(rows: Bytes, kind: Kind, *, bits: int, block_size: int) -> Integers | None:
    """Return stored rows as integers of so many bits in such blocks; None where they are not."""
    take = _TAKEN_OVER.get((kind, bits, block_size))
    if take is None:
        return None
    with np.errstate(all="ignore"):  # scales that are no numbers are refused by the caller
        return take(np.ascontiguousarray(rows))


def _integers(bits: int, values: Array, scales: Array, block_size: int) -> Integers:
    """Put values around zero, [rows, columns], around the middle of unsigned integers."""
    middle = 2 ** (bits - 1)
    columns = values.shape[1]
    return Integers(
        bits=bits,
        values=(values.astype(np.int16) + middle).astype(np.uint8),
        zeros=np.full(scales.shape, middle, np.uint8),
        scales=np.ascontiguousarray(scales, np.float32),
        groups=np.arange(columns, dtype=np.int64) // block_size,
    )


def _blocks(rows: Bytes, kind: Kind) -> Bytes:
    return rows.reshape(len(rows), -1, GGML_QUANT_SIZES[kind][1])


def _half(block_bytes: Bytes) -> Float32:
    """Read a float16 of two bytes in the last axis."""
    return np.ascontiguousarray(block_bytes).view("<f2")[..., 0].astype(np.float32)


def _nibbles(packed: Bytes) -> Bytes:
    """Return the low halves of all bytes of a block, then the high ones."""
    return np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1)


def _take_q8_0(rows: Bytes) -> Integers:
    blocks = _blocks(rows, Kind.Q8_0)
    values = blocks[..., 2:].view(np.int8).reshape(len(rows), -1)
    return _integers(8, values, _half(blocks[..., :2]), 32)


def _take_q4_0(rows: Bytes) -> Integers:
    blocks = _blocks(rows, Kind.Q4_0)
    values = _nibbles(blocks[..., 2:]).astype(np.int16) - 8
    return _integers(4, values.reshape(len(rows), -1), _half(blocks[..., :2]), 32)


def _take_q5_0(rows: Bytes) -> Integers:
    blocks = _blocks(rows, Kind.Q5_0)
    fifth = np.unpackbits(blocks[..., 2:6], axis=-1, bitorder="little")
    values = (_nibbles(blocks[..., 6:]) | (fifth << 4)).astype(np.int16) - 16
    return _integers(8, values.reshape(len(rows), -1), _half(blocks[..., :2]), 32)


def _take_q6_k(rows: Bytes) -> Integers:
    """Each half of a block has 128 numbers: four groups of 32 share the bytes of their low bits."""
    blocks = _blocks(rows, Kind.Q6_K)
    low = blocks[..., :128].reshape(*blocks.shape[:2], 2, 1, 2, 32)
    low = (low >> np.array([0, 4], np.uint8).reshape(2, 1, 1)) & 15  # [.., half, shift, pair, 32]
    high = blocks[..., 128:192].reshape(*blocks.shape[:2], 2, 1, 32)
    high = (high >> np.array([0, 2, 4, 6], np.uint8).reshape(4, 1)) & 3  # [.., half, group, 32]
    low = low.reshape(*blocks.shape[:2], 2, 4, 32)
    values = (low | high << 4).astype(np.int16) - 32
    parts = blocks[..., 192:208].view(np.int8).astype(np.float32)
    scales = parts * _half(blocks[..., 208:210])[..., None]
    return _integers(8, values.reshape(len(rows), -1), scales.reshape(len(rows), -1), 16)


_MXFP4: Final = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)
"""What four bits stand for, twice over: a sign, two bits of exponent and one of mantissa."""


def _take_mxfp4(rows: Bytes) -> Integers:
    blocks = _blocks(rows, Kind.MXFP4)
    values = _MXFP4[_nibbles(blocks[..., 1:])].reshape(len(rows), -1)
    return _integers(8, values, np.ldexp(np.float32(1), blocks[..., 0].astype(np.int32) - 128), 32)


_TAKEN_OVER: Final[Mapping[tuple[Kind, int, int], Callable[[Bytes], Integers]]] = {
    (Kind.Q8_0, 8, 32): _take_q8_0,
    (Kind.Q4_0, 4, 32): _take_q4_0,
    (Kind.Q5_0, 8, 32): _take_q5_0,
    (Kind.Q6_K, 8, 16): _take_q6_k,
    (Kind.MXFP4, 8, 32): _take_mxfp4,
}
