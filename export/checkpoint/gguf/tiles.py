"""Value heads of the gated delta rule, in the order in which the model has them.

A model keeps the heads together that share a key head. llama.cpp's converters of Qwen3.5 put the
first of each such group first, then the second of each (`_LinearAttentionVReorderBase`).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from export.checkpoint.gguf.tensors import Order

_ROWS: Final = {"attn_qkv", "attn_gate", "ssm_conv1d", "ssm_alpha", "ssm_beta", "ssm_a", "ssm_dt"}
_BEHIND_KEYS: Final = {"attn_qkv", "ssm_conv1d"}
"""Where the values lie behind queries and keys."""

_OF_NUMBERS: Final = {"attn_qkv", "attn_gate", "ssm_conv1d"}
"""Where a head has as many rows as it has numbers; in the others it has one."""

_COLUMNS: Final = "ssm_out"


def row_order(part: str, values: Mapping[str, Any]) -> Order | None:
    """Return where each row of a tensor is stored; None where it lies as the model has it."""
    if part not in _ROWS or _num_shared(values) == 1:
        return None
    order = _order(values, values["linear_value_head_dim"] if part in _OF_NUMBERS else 1)
    if part not in _BEHIND_KEYS:
        return order
    num_keys: int = 2 * values["linear_num_key_heads"] * values["linear_key_head_dim"]
    return np.concatenate([np.arange(num_keys), num_keys + order])


def column_order(part: str, values: Mapping[str, Any]) -> Order | None:
    """Return where each column of a tensor is stored; None where it lies as the model has it."""
    if part != _COLUMNS or _num_shared(values) == 1:
        return None
    return _order(values, values["linear_value_head_dim"])


def _num_shared(values: Mapping[str, Any]) -> int:
    return values["linear_num_value_heads"] // values["linear_num_key_heads"]


def _order(values: Mapping[str, Any], size: int) -> Order:
    """Return where heads of `size` rows are stored: [place in the group, group] by group, place."""
    num_heads: int = values["linear_num_value_heads"]
    stored: Order = np.arange(num_heads).reshape(_num_shared(values), -1)
    return (stored.T.reshape(-1, 1) * size + np.arange(size)).ravel()
