"""Which tensors of a GGUF file are read, how, and by which of the names that `names` lists."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from export.checkpoint.gguf.architectures import GgufArchitecture
from export.checkpoint.gguf.blocks import FLOATS, READ
from export.checkpoint.gguf.layout import TensorHeader
from export.checkpoint.gguf.tensors import (
    Change,
    GgufTensor,
    JoinedTensor,
    Tensor,
    in_columns,
    joined_by_key_head,
    joined_latent,
    log_of_negated,
    lowered,
    with_axis,
)
from export.checkpoint.gguf.tiles import column_order, row_order
from export.errors import CheckpointError, UnsupportedError

Values = Mapping[str, Any]

_STACKED: Final = "_exps.weight"
_LAYER: Final = re.compile(r"blk\.(\d{1,6})\.")
_PAIRED: Final = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
"""Where heads are rotated, and how many there are of them."""


class _Join(msgspec.Struct, frozen=True):
    """Two tensors of a layer that stand for `whole`, where the config has `key`."""

    first: str
    second: str
    whole: str
    key: str
    join: Callable[[GgufTensor, GgufTensor, Values], JoinedTensor]


def _latent(key: GgufTensor, value: GgufTensor, values: Values) -> JoinedTensor:
    return joined_latent(key, value, values["num_attention_heads"])


def _by_key_head(inputs: GgufTensor, gate: GgufTensor, values: Values) -> JoinedTensor:
    num_key_heads = values["linear_num_key_heads"]
    return joined_by_key_head(
        inputs,
        gate,
        num_key_heads=num_key_heads,
        key_size=num_key_heads * values["linear_key_head_dim"],
        value_size=values["linear_num_value_heads"] * values["linear_value_head_dim"],
    )


_JOINS: Final = (
    _Join("attn_k_b", "attn_v_b", "attn_kv_b", "kv_lora_rank", _latent),
    _Join("attn_qkv", "attn_gate", "ssm_in", "linear_num_key_heads", _by_key_head),
)


def assembled(
    headers: Mapping[str, TensorHeader],
    architecture: GgufArchitecture,
    values: Values,
    *,
    num_experts: int,
) -> dict[str, Tensor]:
    """Return all tensors as they are read, each expert by itself.

    Raises UnsupportedError for a kind of blocks that is not read, CheckpointError where a part is
    there twice or shapes do not agree.
    """
    found: dict[str, Tensor] = {}
    for name, header in headers.items():
        if header.kind not in (READ if header.shape[1:] else FLOATS):
            raise UnsupportedError(
                f"{header.path} stores {name} as {header.kind.name}, which is not implemented; "
                "take a file in Q4_K_M, Q8_0 or F16"
            )
        parts = (
            _apart(header, num_experts)
            if name.endswith(_STACKED)
            else {name: _tensor(header, architecture, values)}
        )
        if found.keys() & parts.keys():
            raise CheckpointError(f"{header.path} holds the experts of {name} twice")
        found |= parts
    return found if architecture.is_tiled else _joined(found, values)


def beyond(names: Collection[str], num_layers: int) -> set[str]:
    """Return the tensors of layers behind the last one, which predict further tokens."""
    found = ((name, _LAYER.match(name)) for name in names)
    return {name for name, match in found if match is not None and int(match[1]) >= num_layers}


def _apart(header: TensorHeader, num_experts: int) -> dict[str, Tensor]:
    """Cut a tensor of all experts into theirs, named as where each is by itself."""
    if len(header.shape) != 3 or header.shape[0] != num_experts:
        raise CheckpointError(
            f"{header.path}: {header.name} has shape {list(header.shape)} where the metadata says "
            f"{num_experts} experts"
        )
    stem = header.name.removesuffix(_STACKED)
    return {
        f"{stem}.{expert}.weight": GgufTensor(header=header, shape=header.shape[1:], expert=expert)
        for expert in range(num_experts)
    }


def _tensor(header: TensorHeader, architecture: GgufArchitecture, values: Values) -> GgufTensor:
    if header.shape[:-1] == (1,):  # ggml does not tell a vector from a matrix of one row
        header = msgspec.structs.replace(header, shape=header.shape[1:])
    part = _part(header.name)
    change = None if header.name.endswith("conv1d.bias") else _change(part, architecture)
    order = row_order(part, values) if architecture.is_tiled else None
    if architecture.is_tiled and (columns := column_order(part, values)) is not None:
        change = in_columns(columns)
    shape = header.shape
    if change is not None:
        shape = change(np.broadcast_to(np.float32(-1), shape)).shape
    is_paired = architecture.is_permuted and part in _PAIRED
    return GgufTensor(
        header=header,
        shape=shape,
        num_heads=_num_heads(header, values[_PAIRED[part]]) if is_paired else None,
        order=order,
        change=change,
    )


def _part(name: str) -> str:
    """Return what a tensor is, without its layer and whether it is a weight or a bias."""
    return _LAYER.sub("", name).removesuffix(".weight").removesuffix(".bias")


def _change(part: str, architecture: GgufArchitecture) -> Change | None:
    match part:
        case "ssm_a":
            return log_of_negated
        case "ssm_conv1d" | "shortconv.conv":
            return with_axis(1)
        case "ffn_gate_inp_shexp":
            return with_axis(0)
        case "ssm_norm" | "ssm_d":
            return np.ravel
        case _:
            is_raised = part.endswith("norm") and architecture.norm_offset
            return lowered(architecture.norm_offset) if is_raised else None


def _num_heads(header: TensorHeader, num_heads: int) -> int:
    if header.shape[0] % (2 * num_heads):
        raise CheckpointError(
            f"{header.path}: {header.name} has shape {list(header.shape)} for {num_heads} heads"
        )
    return num_heads


def _joined(tensors: Mapping[str, Tensor], values: Values) -> dict[str, Tensor]:
    """Put one matrix in the place of two that stand for it."""
    found = dict(tensors)
    joins = [join for join in _JOINS if join.key in values]
    for layer in range(values["num_hidden_layers"]) if joins else ():
        for join in joins:
            names = [f"blk.{layer}.{part}.weight" for part in (join.first, join.second)]
            first, second = (tensors.get(name) for name in names)
            if not isinstance(first, GgufTensor) or not isinstance(second, GgufTensor):
                continue
            whole = f"blk.{layer}.{join.whole}.weight"
            if whole in tensors:
                raise CheckpointError(f"{first.header.path} holds {whole} whole and in two")
            found[whole] = join.join(first, second, values)
            for name in names:
                del found[name]
    return found
