"""The tensors of a GGUF file as they are read: what llama.cpp's converters did to them, undone.

rows of query and key put in pairs (convert_hf_to_gguf.py, `LlamaModel.permute`)
norms whose weights were raised by one (Gemma, Qwen3-Next)
value heads of states by their place in a group instead of by groups (Qwen3.5)
A_log as -exp(A_log), a convolution and a router of one row without their axis of one, numbers of
heads with one more
experts in one tensor each, or each by itself, as files of before April 2024 have them
one matrix in two: attn_k_b and attn_v_b of attn_kv_b, attn_qkv and attn_gate of ssm_in
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from gguf.constants import GGMLQuantizationType as Kind

from export.checkpoint.gguf.blocks import (
    FLOATS,
    Bytes,
    Float32,
    as_integers,
    mapped_rows,
    widened,
)
from export.checkpoint.gguf.layout import TensorHeader
from export.checkpoint.stored import Integers
from export.errors import CheckpointError

Array = npt.NDArray[Any]
Change = Callable[[Float32], Float32]
Order = npt.NDArray[np.intp]


class GgufTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the file, or an expert's part; rows are put in order where `num_heads` says.

    `order`: which rows that are stored, or numbers of a vector, are those that are read, in turn.
    `shape` is what is read: `change` turns the numbers that are stored into those.
    """

    header: TensorHeader
    shape: tuple[int, ...]
    expert: int | None = None
    num_heads: int | None = None
    order: Order | None = None
    change: Change | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (self.header.kind,)

    @property
    def is_rounded(self) -> bool:
        return self.header.kind not in FLOATS

    @property
    def stored_as(self) -> str:
        return self.header.kind.name

    def read(self) -> Float32:
        values = widened(self.rows(), self.header.kind)
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{self.header.path}: {self.header.name} has numbers that are not finite"
            )
        if self.change is None:
            return values.reshape(self.shape)
        stored = self.header.shape if self.expert is None else self.header.shape[1:]
        changed = self.change(values.reshape(stored)).reshape(self.shape)
        return np.ascontiguousarray(changed, np.float32)

    def integers(self, *, bits: int, block_size: int) -> Integers | None:
        if self.change is not None:  # which is one of numbers, not of blocks
            return None
        found = as_integers(self.rows(), self.header.kind, bits=bits, block_size=block_size)
        with np.errstate(all="ignore"):  # of what is refused here
            largest = 0.0 if found is None else np.abs(found.scales).max() * np.float32(2**bits)
        if not np.isfinite(largest):
            raise CheckpointError(
                f"{self.header.path}: {self.header.name} has scales that are not finite"
            )
        return found

    def rows(self) -> Bytes:
        rows = mapped_rows(self.header)
        if self.expert is not None:
            num_rows = len(rows) // self.header.shape[0]
            rows = rows[self.expert * num_rows : (self.expert + 1) * num_rows]
        if self.order is not None:
            lines = rows if len(rows) > 1 else rows.reshape(len(self.order), -1)
            return lines[self.order].reshape(rows.shape)
        if self.num_heads is None:
            return rows
        # A bias is one row, whose numbers are put in order.
        lines = rows if len(rows) > 1 else rows.reshape(self.shape[0], -1)
        return _in_order(lines, self.num_heads).reshape(rows.shape)


class JoinedTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One matrix that lies in several tensors of the file.

    `join` puts [rows, columns] together, and so integers and scales alike; None where it cuts
    through rows, so that nothing can be taken over, and `join_values` joins the numbers.
    """

    parts: tuple[GgufTensor, ...]
    shape: tuple[int, ...]
    join: Callable[[Sequence[Array]], Array] | None = None
    join_values: Callable[[Sequence[Float32]], Float32] | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(part.header.kind for part in self.parts) if self.join is not None else ()

    @property
    def is_rounded(self) -> bool:
        return any(part.is_rounded for part in self.parts)

    @property
    def stored_as(self) -> str:
        return "+".join(dict.fromkeys(part.stored_as for part in self.parts))

    def read(self) -> Float32:
        join = self.join or self.join_values
        assert join is not None
        return np.ascontiguousarray(join([part.read() for part in self.parts]), np.float32)

    def integers(self, *, bits: int, block_size: int) -> Integers | None:
        if self.join is None:
            return None
        parts: list[Integers] = []
        for part in self.parts:
            found = part.integers(bits=bits, block_size=block_size)
            if found is None:
                return None
            parts.append(found)
        return Integers(
            bits=bits,
            values=self.join([part.values for part in parts]),
            zeros=self.join([part.zeros for part in parts]),
            scales=self.join([part.scales for part in parts]),
            groups=parts[0].groups,
        )


Tensor = GgufTensor | JoinedTensor


def lowered(offset: float) -> Change:
    """Take from each number what the converter added."""
    return lambda values: values - np.float32(offset)


def in_columns(order: Order) -> Change:
    """Put columns in order."""
    return lambda values: values[:, order]


def with_axis(axis: int) -> Change:
    """Give back an axis of one."""
    return lambda values: np.expand_dims(values, axis)


def log_of_negated(values: Float32) -> Float32:
    """Undo x -> -exp(x). Raises CheckpointError where a number is not below zero."""
    if not (values < 0).all():
        raise CheckpointError("the file's ssm_a has numbers that are not below zero; convert again")
    return np.log(-values.ravel())


def joined_latent(key: GgufTensor, value: GgufTensor, num_heads: int) -> JoinedTensor:
    """Join keys [heads, rank, nope] and values [heads, size, rank] to [heads * rows, rank].

    (`DeepseekV2Model.modify_tensors`.) Raises CheckpointError where the shapes do not agree.
    """
    is_apart = len(key.shape) == len(value.shape) == 3
    if not is_apart or (key.shape[0], value.shape[0], value.shape[2]) != (
        num_heads,
        num_heads,
        key.shape[1],
    ):
        raise _unfitting((key, value), f"{num_heads} heads")

    def join(parts: Sequence[Float32]) -> Float32:
        keys, values = parts
        rows = np.concatenate([keys.swapaxes(1, 2), values], axis=1)
        return rows.reshape(-1, rows.shape[2])

    num_rows = num_heads * (key.shape[2] + value.shape[1])
    return JoinedTensor(parts=(key, value), shape=(num_rows, key.shape[1]), join_values=join)


def joined_by_key_head(
    inputs: GgufTensor, gate: GgufTensor, *, num_key_heads: int, key_size: int, value_size: int
) -> JoinedTensor:
    """Join [query, key, value] of all heads and the gate to both of each key head in turn.

    `key_size` and `value_size` are those of all heads (`Qwen3NextModel.modify_tensors`). Raises
    CheckpointError where the shapes do not agree.
    """
    wanted = (2 * key_size + value_size, value_size)
    shapes = (inputs.shape, gate.shape)
    if tuple(shape[0] for shape in shapes) != wanted or inputs.shape[1:] != gate.shape[1:]:
        raise _unfitting((inputs, gate), f"{wanted[0]} and {wanted[1]} rows")

    def join(parts: Sequence[Array]) -> Array:
        mixed, gates = parts
        query, key, value = np.split(mixed, [key_size, 2 * key_size])
        heads = [rows.reshape(num_key_heads, -1, rows.shape[1]) for rows in (query, key, value)]
        heads.append(gates.reshape(num_key_heads, -1, gates.shape[1]))
        return np.concatenate(heads, axis=1).reshape(-1, mixed.shape[1])

    return JoinedTensor(parts=(inputs, gate), shape=(sum(wanted), *inputs.shape[1:]), join=join)


def _unfitting(parts: Sequence[GgufTensor], wanted: str) -> CheckpointError:
    shapes = " and ".join(f"{part.header.name} {list(part.shape)}" for part in parts)
    return CheckpointError(f"{parts[0].header.path} has {shapes}, which are not {wanted}")


def _in_order(rows: Bytes, num_heads: int) -> Bytes:
    """Put rows that lie as pairs of a rotation back into halves.

    llama.cpp rotates neighbours, transformers one half of a head with the other.
    """
    pairs = rows.reshape(num_heads, -1, 2, rows.shape[1])
    return pairs.swapaxes(1, 2).reshape(rows.shape)
