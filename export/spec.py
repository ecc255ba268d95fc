"""Say what a decoder computes, in words that every model family shares.

A DecoderSpec is a value: sum types instead of optional fields, so that a field exists only where
it has a meaning. `slots` lists the tensors a spec needs; their names are ours, not a checkpoint's.
This module knows no checkpoint, no graph and no precision.
"""

from collections.abc import Mapping
from math import prod
from typing import Literal

import msgspec

SlotRole = Literal["embedding", "head", "projection", "expert", "router", "norm", "bias"]


class RmsNorm(msgspec.Struct, frozen=True, kw_only=True):
    """x / sqrt(mean(x²) + epsilon) * weight (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    epsilon: float


class LinearScaling(msgspec.Struct, frozen=True, kw_only=True):
    """Every frequency divided by `factor` (arXiv:2306.15595)."""

    factor: float


class Llama3Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """Low frequencies divided by `factor`, high ones kept, those between blended.

    Low and high are counted in turns over `original_context_length` tokens (Llama 3.1,
    https://github.com/meta-llama/llama-models, `apply_scaling`).
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context_length: int


RopeScaling = LinearScaling | Llama3Scaling


class Rope(msgspec.Struct, frozen=True, kw_only=True):
    """Rotate the halves of each head by position * theta^(-2i/head_dim) (arXiv:2104.09864)."""

    theta: float
    scaling: RopeScaling | None = None


class QueryKeyNorm(msgspec.Struct, frozen=True, kw_only=True):
    """Normalize queries and keys before rotation: each head alone, or all heads as one vector."""

    norm: RmsNorm
    over: Literal["head", "projection"]


class GroupedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Causal attention whose query heads share key and value heads in equal groups.

    `input_bias` is that of the query, key and value projections.
    """

    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rope: Rope
    query_key_norm: QueryKeyNorm | None = None
    input_bias: bool = False
    output_bias: bool = False


class Dense(msgspec.Struct, frozen=True, kw_only=True):
    """down(silu(gate(x)) * up(x)) (Shazeer 2020, arXiv:2002.05202)."""

    intermediate_size: int


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """Softmax over all experts, then the best `num_experts_per_tok`.

    `renormalize` scales the weights of the chosen ones to a sum of one.
    """

    num_experts_per_tok: int
    renormalize: bool


class SharedExpert(msgspec.Struct, frozen=True, kw_only=True):
    """A Dense that every token passes, scaled by sigmoid(x @ gate) where it has a gate."""

    intermediate_size: int
    gate: Literal["sigmoid", "none"]


class SparseMoE(msgspec.Struct, frozen=True, kw_only=True):
    """The router's weighted sum over the chosen experts, each a Dense of its own.

    The shared expert is added to it.
    """

    num_experts: int
    moe_intermediate_size: int
    router: Router
    shared: SharedExpert | None = None


Attention = GroupedQuery
FeedForward = Dense | SparseMoE


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    attention: Attention
    feed_forward: FeedForward
    norm: RmsNorm


class DecoderSpec(msgspec.Struct, frozen=True, kw_only=True):
    vocab_size: int
    hidden_size: int
    layers: tuple[Layer, ...]
    norm: RmsNorm
    tie_word_embeddings: bool
    max_position_embeddings: int


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a spec. Matrices are [out, in]; an expert slot is [num_experts, out, in]."""

    shape: tuple[int, ...]
    role: SlotRole


def slots(spec: DecoderSpec) -> dict[str, Slot]:
    """Return every tensor that the spec needs, in the order in which the decoder uses them."""
    hidden = spec.hidden_size
    found = {"embedding": _slot("embedding", spec.vocab_size, hidden)}
    for index, layer in enumerate(spec.layers):
        parts = {
            "attention_norm": _slot("norm", hidden),
            **_attention_slots(layer.attention, hidden),
            "feed_forward_norm": _slot("norm", hidden),
            **_feed_forward_slots(layer.feed_forward, hidden),
        }
        found |= {f"layers.{index}.{name}": slot for name, slot in parts.items()}
    found["norm"] = _slot("norm", hidden)
    if not spec.tie_word_embeddings:
        found["head"] = _slot("head", spec.vocab_size, hidden)
    return found


def num_parameters(spec: DecoderSpec) -> int:
    return sum(prod(slot.shape) for slot in slots(spec).values())


def num_active_parameters(spec: DecoderSpec) -> int:
    """Count what one token is multiplied by: one embedding row, its own experts, the whole head."""
    needed = slots(spec)
    active = sum(
        prod(slot.shape) for slot in needed.values() if slot.role not in {"embedding", "expert"}
    )
    for index, layer in enumerate(spec.layers):
        match layer.feed_forward:
            case SparseMoE(router=router):
                prefix = f"layers.{index}.moe."
                active += router.num_experts_per_tok * _row_size(needed, prefix)
            case Dense():
                pass
    head = prod(needed["embedding"].shape) if spec.tie_word_embeddings else 0
    return active + spec.hidden_size + head


def _row_size(needed: Mapping[str, Slot], prefix: str) -> int:
    return sum(
        prod(slot.shape[1:])
        for name, slot in needed.items()
        if name.startswith(prefix) and slot.role == "expert"
    )


def _attention_slots(attention: Attention, hidden: int) -> dict[str, Slot]:
    query = attention.num_attention_heads * attention.head_dim
    key_value = attention.num_key_value_heads * attention.head_dim
    found = {
        "attention.query": _slot("projection", query, hidden),
        "attention.key": _slot("projection", key_value, hidden),
        "attention.value": _slot("projection", key_value, hidden),
        "attention.output": _slot("projection", hidden, query),
    }
    if attention.input_bias:
        sizes = {"query": query, "key": key_value, "value": key_value}
        found |= {f"attention.{name}_bias": _slot("bias", size) for name, size in sizes.items()}
    if attention.output_bias:
        found["attention.output_bias"] = _slot("bias", hidden)
    if attention.query_key_norm is not None:
        is_per_head = attention.query_key_norm.over == "head"
        head_dim = attention.head_dim
        found["attention.query_norm"] = _slot("norm", head_dim if is_per_head else query)
        found["attention.key_norm"] = _slot("norm", head_dim if is_per_head else key_value)
    return found


def _feed_forward_slots(feed_forward: FeedForward, hidden: int) -> dict[str, Slot]:
    match feed_forward:
        case Dense(intermediate_size=size):
            return _dense_slots("mlp", size, hidden)
        case SparseMoE(num_experts=experts, moe_intermediate_size=size, shared=shared):
            return {
                "moe.router": _slot("router", experts, hidden),
                "moe.gate": _slot("expert", experts, size, hidden),
                "moe.up": _slot("expert", experts, size, hidden),
                "moe.down": _slot("expert", experts, hidden, size),
                **({} if shared is None else _shared_slots(shared, hidden)),
            }


def _dense_slots(prefix: str, size: int, hidden: int) -> dict[str, Slot]:
    return {
        f"{prefix}.gate": _slot("projection", size, hidden),
        f"{prefix}.up": _slot("projection", size, hidden),
        f"{prefix}.down": _slot("projection", hidden, size),
    }


def _shared_slots(shared: SharedExpert, hidden: int) -> dict[str, Slot]:
    found = _dense_slots("moe.shared", shared.intermediate_size, hidden)
    if shared.gate == "sigmoid":
        found["moe.shared.router"] = _slot("router", 1, hidden)
    return found


def _slot(role: SlotRole, *shape: int) -> Slot:
    return Slot(shape=shape, role=role)
