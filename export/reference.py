"""Compute a DecoderSpec with numpy, as plainly as its mathematics reads: the oracle.

Slow on purpose: no cache, no batch, no fused operator, one loop over layers and one over experts.
It knows no model family, no graph and no file. Arithmetic follows the dtype asked for; the result
is compared with graphs, and with transformers through the committed golden logits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.spec import (
    Attention,
    DecoderSpec,
    Dense,
    FeedForward,
    GroupedQuery,
    Layer,
    RmsNorm,
    Rope,
    Router,
    SparseMoE,
)

Array = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]


class Slots:
    """The tensors under one prefix, converted to one dtype when they are asked for."""

    def __init__(self, values: Mapping[str, Array], dtype: npt.DTypeLike, prefix: str = "") -> None:
        self._values = values
        self._dtype = dtype
        self._prefix = prefix

    def __getitem__(self, name: str) -> Array:
        return self._values[self._prefix + name].astype(self._dtype)

    def under(self, prefix: str) -> "Slots":
        return Slots(self._values, self._dtype, self._prefix + prefix)


def forward(
    spec: DecoderSpec,
    weights: Mapping[str, Array],
    token_ids: Sequence[int],
    *,
    dtype: npt.DTypeLike = np.float64,
) -> Array:
    """Return the logits of every position, [num_tokens, vocab_size].

    `weights` holds the spec's slots by name.
    """
    slots = Slots(weights, dtype)
    embedding = slots["embedding"]
    x = embedding[np.asarray(token_ids, np.int64)]  # [num_tokens, hidden_size]
    for index, layer in enumerate(spec.layers):
        x = _layer(layer, slots.under(f"layers.{index}."), x)
    head = embedding if spec.tie_word_embeddings else slots["head"]
    return _rms_norm(spec.norm, slots["norm"], x) @ head.T


def rope_tables(rope: Rope, head_dim: int, num_positions: int) -> tuple[Array, Array]:
    """Return cosines and sines, [num_positions, head_dim / 2].

    Frequencies and angles are rounded to float32 as the models were trained with: in double
    precision the angle at position 2,000 differs by 1e-4.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = (1.0 / np.power(rope.theta, exponents.astype(np.float64))).astype(np.float32)
    angles = np.arange(num_positions, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles.astype(np.float64)), np.sin(angles.astype(np.float64))


def _layer(layer: Layer, slots: Slots, x: Array) -> Array:
    normed = _rms_norm(layer.norm, slots["attention_norm"], x)
    x = x + _attention(layer.attention, slots.under("attention."), normed)
    normed = _rms_norm(layer.norm, slots["feed_forward_norm"], x)
    return x + _feed_forward(layer.feed_forward, slots, normed)


def _rms_norm(norm: RmsNorm, weight: Array, x: Array) -> Array:
    mean_square = np.mean(x * x, axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + norm.epsilon) * weight


def _attention(attention: Attention, slots: Slots, x: Array) -> Array:
    query, key, value = _heads(attention, slots, x)  # [heads, num_tokens, head_dim]
    group = attention.num_attention_heads // attention.num_key_value_heads
    key, value = np.repeat(key, group, axis=0), np.repeat(value, group, axis=0)
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(attention.head_dim).astype(x.dtype)
    is_future = np.triu(np.ones(scores.shape[1:], np.bool_), k=1)
    mixed = _softmax(np.where(is_future, -np.inf, scores)) @ value
    return mixed.transpose(1, 0, 2).reshape(len(x), -1) @ slots["output"].T


def _heads(attention: GroupedQuery, slots: Slots, x: Array) -> tuple[Array, Array, Array]:
    query = _split_heads(x @ slots["query"].T, attention.head_dim)
    key = _split_heads(x @ slots["key"].T, attention.head_dim)
    value = _split_heads(x @ slots["value"].T, attention.head_dim)
    if attention.head_norm is not None:
        query = _rms_norm(attention.head_norm, slots["query_norm"], query)
        key = _rms_norm(attention.head_norm, slots["key_norm"], key)
    cosines, sines = (
        table.astype(x.dtype) for table in rope_tables(attention.rope, attention.head_dim, len(x))
    )
    return _rotate(query, cosines, sines), _rotate(key, cosines, sines), value


def _split_heads(x: Array, head_dim: int) -> Array:
    return x.reshape(len(x), -1, head_dim).transpose(1, 0, 2)


def _rotate(x: Array, cosines: Array, sines: Array) -> Array:
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate(
        [first * cosines - second * sines, second * cosines + first * sines], axis=-1
    )


def _feed_forward(feed_forward: FeedForward, slots: Slots, x: Array) -> Array:
    match feed_forward:
        case Dense():
            return _gated(slots["mlp.gate"], slots["mlp.up"], slots["mlp.down"], x)
        case SparseMoE():
            return _sparse_moe(feed_forward, slots.under("moe."), x)


def _sparse_moe(moe: SparseMoE, slots: Slots, x: Array) -> Array:
    expert_ids, expert_weights = _route(moe.router, x @ slots["router"].T)
    gate, up, down = slots["gate"], slots["up"], slots["down"]
    mixed = np.zeros_like(x)
    for expert in range(moe.num_experts):
        rows, choices = np.nonzero(expert_ids == expert)
        out = _gated(gate[expert], up[expert], down[expert], x[rows])
        mixed[rows] += expert_weights[rows, choices, None] * out
    return mixed


def _route(router: Router, logits: Array) -> tuple[Integers, Array]:
    """Return the chosen experts and their weights, both [num_tokens, num_experts_per_tok]."""
    scores = _softmax(logits)
    order = np.argsort(-scores, axis=-1, kind="stable")
    expert_ids = order[:, : router.num_experts_per_tok]
    weights = np.take_along_axis(scores, expert_ids, axis=-1)
    if router.renormalize:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    return expert_ids, weights


def _gated(gate: Array, up: Array, down: Array, x: Array) -> Array:
    gated = x @ gate.T
    return (gated / (1.0 + np.exp(-gated)) * (x @ up.T)) @ down.T


def _softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
