"""Attention that looks back at keys and values: which there is, and the tensors it needs.

What it computes is in `attending`. This module knows no model family, no checkpoint and no graph.
"""

from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from export.spec.norms import RmsNorm
from export.spec.rope import Rope
from export.spec.slot import Slot, make_slot

Array = npt.NDArray[np.floating[Any]]


class QueryKeyNorm(msgspec.Struct, frozen=True, kw_only=True):
    """Normalize queries and keys: each head alone, or all heads as one vector.

    That is before they are rotated, or `behind_rotation`.
    """

    norm: RmsNorm
    over: Literal["head", "projection"]
    behind_rotation: bool = False


class QueryScale(msgspec.Struct, frozen=True, kw_only=True):
    """Queries at a place in the text are multiplied by 1 + beta * log(1 + floor(place / period)).

    Source: https://github.com/meta-llama/llama-models, `attn_temperature_tuning` of Llama 4.
    """

    beta: float
    period: int


def query_scales(scale: QueryScale, num_positions: int) -> Array:
    """Return what queries at each of the first places are multiplied by."""
    return 1.0 + scale.beta * np.log1p(np.arange(num_positions) // scale.period)


class GroupedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Causal attention whose query heads share key and value heads in equal groups.

    Scores are query · key * `scale`, which is 1 / sqrt(head_dim) by default; with a `softcap` they
    are then softcap * tanh(score / softcap). A `query_scale` makes queries of later tokens larger.
    `input_bias` is that of the query, key and value projections. Without a `rope` no head is
    rotated: the layer does not know where a token stands.
    `sinks`: each head has a learned score of attending to nothing.
    `window`: a token sees itself and the `window - 1` before it; None means all before it.
    `output_gate`: what the heads read is multiplied by sigmoid(x @ gate) before the output; the
    rows of `query` are then, head by head, its query and its gate.
    `softplus_gate`: it is multiplied by log(1 + exp(x @ gate)), one number for each head or one for
    each number that the heads read.
    `value_norm`: each value head is normalized, without weights of its own.
    `keys_are_values`: there is no value projection; values are keys before their norm and rotation.
    """

    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rope: Rope | None
    query_key_norm: QueryKeyNorm | None = None
    input_bias: bool = False
    output_bias: bool = False
    scale: float | None = None
    query_scale: QueryScale | None = None
    softcap: float | None = None
    window: int | None = None
    sinks: bool = False
    output_gate: bool = False
    softplus_gate: Literal["head", "number"] | None = None
    value_norm: RmsNorm | None = None
    keys_are_values: bool = False

    @property
    def rotary_dim(self) -> int:
        return 0 if self.rope is None else int(self.head_dim * self.rope.share)

    @property
    def score_scale(self) -> float:
        """What products of queries and keys are multiplied by."""
        return self.head_dim**-0.5 if self.scale is None else self.scale


class Latent(msgspec.Struct, frozen=True, kw_only=True):
    """Causal attention whose keys and values come from one latent a token (arXiv:2405.04434).

    A query or key head is [nope | rope]: only the second part is rotated, and that of the keys is
    the same for all heads. Queries come from a latent too, unless `query_rank` is None. The latents
    are normalized.
    """

    num_attention_heads: int
    query_rank: int | None
    key_value_rank: int
    nope_head_dim: int
    rope_head_dim: int
    value_head_dim: int
    rope: Rope
    norm: RmsNorm
    score_scale: float

    @property
    def num_key_value_heads(self) -> int:
        return self.num_attention_heads

    @property
    def head_dim(self) -> int:
        return self.nope_head_dim + self.rope_head_dim

    @property
    def rotary_dim(self) -> int:
        return self.rope_head_dim


def grouped_query_slots(attention: GroupedQuery, hidden: int) -> dict[str, Slot]:
    query = attention.num_attention_heads * attention.head_dim
    key_value = attention.num_key_value_heads * attention.head_dim
    num_gates = query if attention.output_gate else 0
    found = {
        "attention.query": make_slot("projection", query + num_gates, hidden),
        "attention.key": make_slot("projection", key_value, hidden),
        "attention.value": make_slot("projection", key_value, hidden),
        "attention.output": make_slot("projection", hidden, query),
    }
    if attention.keys_are_values:
        del found["attention.value"]
    if attention.input_bias:
        sizes = {"query": query, "key": key_value, "value": key_value}
        found |= {f"attention.{name}_bias": make_slot("bias", size) for name, size in sizes.items()}
    match attention.softplus_gate:
        case "head":  # few rows, which are not rounded
            found["attention.gate"] = make_slot("router", attention.num_attention_heads, hidden)
        case "number":
            found["attention.gate"] = make_slot("projection", query, hidden)
        case None:
            pass
    if attention.sinks:
        found["attention.sinks"] = make_slot("bias", attention.num_attention_heads)
    if attention.output_bias:
        found["attention.output_bias"] = make_slot("bias", hidden)
    if attention.query_key_norm is not None:
        is_per_head = attention.query_key_norm.over == "head"
        head_dim = attention.head_dim
        found["attention.query_norm"] = make_slot("norm", head_dim if is_per_head else query)
        found["attention.key_norm"] = make_slot("norm", head_dim if is_per_head else key_value)
    return found


def latent_slots(attention: Latent, hidden: int) -> dict[str, Slot]:
    heads, rank = attention.num_attention_heads, attention.key_value_rank
    query = heads * attention.head_dim
    found = {"attention.query": make_slot("projection", query, hidden)}
    if attention.query_rank is not None:
        found = {
            "attention.query_down": make_slot("projection", attention.query_rank, hidden),
            "attention.query_norm": make_slot("norm", attention.query_rank),
            "attention.query_up": make_slot("projection", query, attention.query_rank),
        }
    expanded = heads * (attention.nope_head_dim + attention.value_head_dim)
    return found | {
        "attention.key_value_down": make_slot("projection", rank + attention.rope_head_dim, hidden),
        "attention.key_value_norm": make_slot("norm", rank),
        "attention.key_value_up": make_slot("projection", expanded, rank),
        "attention.output": make_slot("projection", hidden, heads * attention.value_head_dim),
    }
