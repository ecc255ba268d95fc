"""Compute a DecoderSpec with numpy, as plainly as its mathematics reads: the oracle.

Slow on purpose: no cache, no batch, no fused operator, one loop over layers and one over experts.
It knows no model family, no graph and no file. Arithmetic follows the dtype asked for; the result
is compared with graphs, and with transformers through the committed golden logits.

Weights are asked for layer by layer and forgotten, so a mapping that reads them on demand lets a
checkpoint pass through that does not fit in memory. An observer sees what each matrix is given.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.spec import (
    Activation,
    Attention,
    DecoderSpec,
    Dense,
    FeedForward,
    GroupedQuery,
    Layer,
    LayerNorm,
    LinearScaling,
    Llama3Scaling,
    Norm,
    QueryKeyNorm,
    RmsNorm,
    Rope,
    RopeScaling,
    Router,
    SharedExpert,
    SparseMixer,
    SparseMoE,
    Ungated,
)

Array = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]


Observer = Callable[[str, int | None, Array], None]
"""Called with a slot, the expert where it has some, and the rows [num_tokens, in] it is given."""


def ignore(slot: str, expert: int | None, x: Array) -> None:
    """Take no notice."""


class Slots:
    """The tensors under one prefix, converted to one dtype when they are asked for."""

    def __init__(
        self,
        values: Mapping[str, Array],
        dtype: npt.DTypeLike,
        prefix: str = "",
        observe: Observer = ignore,
    ) -> None:
        self._values = values
        self._dtype = dtype
        self._prefix = prefix
        self._observe = observe

    def __getitem__(self, name: str) -> Array:
        return self._values[self._prefix + name].astype(self._dtype, copy=False)

    def under(self, prefix: str) -> "Slots":
        return Slots(self._values, self._dtype, self._prefix + prefix, self._observe)

    def product(self, name: str, x: Array) -> Array:
        """Return x @ weight.T, [num_tokens, out]."""
        self.saw(name, x)
        return x @ self[name].T

    def saw(self, name: str, x: Array, *, expert: int | None = None) -> None:
        """Tell the observer what a matrix is given."""
        self._observe(self._prefix + name, expert, x)


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
    x = embed(spec, slots, token_ids)
    for index in range(len(spec.layers)):
        x = run_layer(spec, slots, index, x)
    return score(spec, slots, x)


def embed(spec: DecoderSpec, slots: Slots, token_ids: Sequence[int]) -> Array:
    """Return what the first layer is given, [num_tokens, hidden_size]."""
    return slots["embedding"][np.asarray(token_ids, np.int64)] * spec.embedding_scale


def run_layer(
    spec: DecoderSpec, slots: Slots, index: int, x: Array, *, window: int | None = None
) -> Array:
    """Return what the next layer is given, [num_tokens, hidden_size].

    Rows are one text, or texts of `window` tokens that see nothing of each other.
    """
    return _layer(spec.layers[index], slots.under(f"layers.{index}."), x, window or len(x))


def score(spec: DecoderSpec, slots: Slots, x: Array) -> Array:
    """Return the logits after the last layer, [num_tokens, vocab_size]."""
    normed = _norm(spec.norm, slots, "norm", x)
    logits = slots.product("embedding" if spec.tie_word_embeddings else "head", normed)
    if spec.head.bias:
        logits = logits + slots["head_bias"]
    return _capped(spec.head.softcap, logits * spec.head.scale)


def rope_tables(rope: Rope, head_dim: int, num_positions: int) -> tuple[Array, Array]:
    """Return cosines and sines, [num_positions, head_dim / 2].

    Frequencies and angles are rounded to float32 as the models were trained with: in double
    precision the angle at position 2,000 differs by 1e-4.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    unscaled = 1.0 / np.power(rope.theta, exponents.astype(np.float64))
    frequencies = _scaled(rope.scaling, unscaled).astype(np.float32)
    angles = np.arange(num_positions, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles.astype(np.float64)), np.sin(angles.astype(np.float64))


def _scaled(scaling: RopeScaling | None, frequencies: Array) -> Array:
    match scaling:
        case None:
            return frequencies
        case LinearScaling(factor=factor):
            return frequencies / factor
        case Llama3Scaling(factor=factor, low_freq_factor=low, high_freq_factor=high):
            turns = frequencies * scaling.original_context_length / (2 * np.pi)
            kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
            return (1 - kept) * frequencies / factor + kept * frequencies


def _layer(layer: Layer, slots: Slots, x: Array, window: int) -> Array:
    normed = _norm(layer.norm, slots, "attention_norm", x)
    texts = np.split(normed, range(window, len(x), window))
    attended = [_attention(layer.attention, slots.under("attention."), text) for text in texts]
    x = x + _added(layer, slots, "attention_output_norm", np.concatenate(attended))
    normed = _norm(layer.norm, slots, "feed_forward_norm", x)
    out = _feed_forward(layer.feed_forward, slots, normed)
    return x + _added(layer, slots, "feed_forward_output_norm", out)


def _added(layer: Layer, slots: Slots, norm_name: str, x: Array) -> Array:
    if layer.residual.norm_position == "around":
        x = _norm(layer.norm, slots, norm_name, x)
    return x * layer.residual.scale


def _norm(norm: Norm, slots: Slots, name: str, x: Array) -> Array:
    match norm:
        case RmsNorm():
            return _rms_norm(norm, slots[name], x)
        case LayerNorm(epsilon=epsilon):
            centered = x - x.mean(axis=-1, keepdims=True)
            variance = np.mean(centered * centered, axis=-1, keepdims=True)
            return centered / np.sqrt(variance + epsilon) * slots[name] + slots[f"{name}_bias"]


def _rms_norm(norm: RmsNorm, weight: Array, x: Array) -> Array:
    mean_square = np.mean(x * x, axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + norm.epsilon) * (norm.offset + weight)


def _capped(softcap: float | None, x: Array) -> Array:
    return x if softcap is None else softcap * np.tanh(x / softcap)


def _attention(attention: Attention, slots: Slots, x: Array) -> Array:
    query, key, value = _heads(attention, slots, x)  # [heads, num_tokens, head_dim]
    group = attention.num_attention_heads // attention.num_key_value_heads
    key, value = np.repeat(key, group, axis=0), np.repeat(value, group, axis=0)
    scores = _capped(attention.softcap, query @ key.transpose(0, 2, 1) * attention.score_scale)
    is_future = np.triu(np.ones(scores.shape[1:], np.bool_), k=1)
    mixed = _softmax(np.where(is_future, -np.inf, scores)) @ value
    joined = mixed.transpose(1, 0, 2).reshape(len(x), -1)
    return _project(slots, "output", joined, bias=attention.output_bias)


def _heads(attention: GroupedQuery, slots: Slots, x: Array) -> tuple[Array, Array, Array]:
    query, key, value = (
        _project(slots, name, x, bias=attention.input_bias) for name in ("query", "key", "value")
    )
    query = _norm_heads(attention.query_key_norm, slots, "query_norm", query, attention.head_dim)
    key = _norm_heads(attention.query_key_norm, slots, "key_norm", key, attention.head_dim)
    value = _split_heads(value, attention.head_dim)
    cosines, sines = (
        table.astype(x.dtype) for table in rope_tables(attention.rope, attention.head_dim, len(x))
    )
    return _rotate(query, cosines, sines), _rotate(key, cosines, sines), value


def _project(slots: Slots, name: str, x: Array, *, bias: bool) -> Array:
    projected = slots.product(name, x)
    return projected + slots[f"{name}_bias"] if bias else projected


def _norm_heads(
    norm: QueryKeyNorm | None, slots: Slots, name: str, x: Array, head_dim: int
) -> Array:
    match norm:
        case None:
            return _split_heads(x, head_dim)
        case QueryKeyNorm(over="head"):
            return _rms_norm(norm.norm, slots[name], _split_heads(x, head_dim))
        case QueryKeyNorm():
            return _split_heads(_rms_norm(norm.norm, slots[name], x), head_dim)


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
            return _dense(slots.under("mlp."), x, feed_forward.activation)
        case Ungated():
            return _ungated(feed_forward, slots.under("mlp."), x)
        case SparseMoE():
            return _sparse_moe(feed_forward, slots.under("moe."), x)


def _dense(slots: Slots, x: Array, activation: Activation) -> Array:
    gated = _activated(activation, slots.product("gate", x)) * slots.product("up", x)
    return slots.product("down", gated)


def _ungated(spec: Ungated, slots: Slots, x: Array) -> Array:
    up = _project(slots, "up", x, bias=spec.bias)
    return _project(slots, "down", _activated(spec.activation, up), bias=spec.bias)


def _sparse_moe(moe: SparseMoE, slots: Slots, x: Array) -> Array:
    expert_ids, expert_weights = _chosen(moe.router, slots.product("router", x))
    gate, up, down = slots["gate"], slots["up"], slots["down"]
    mixed = np.zeros_like(x)
    for expert in range(moe.num_experts):
        rows, choices = np.nonzero(expert_ids == expert)
        slots.saw("gate", x[rows], expert=expert)
        slots.saw("up", x[rows], expert=expert)
        gated = _activated(moe.activation, x[rows] @ gate[expert].T) * (x[rows] @ up[expert].T)
        slots.saw("down", gated, expert=expert)
        mixed[rows] += expert_weights[rows, choices, None] * (gated @ down[expert].T)
    return mixed if moe.shared is None else mixed + _shared(moe.shared, slots.under("shared."), x)


def _shared(shared: SharedExpert, slots: Slots, x: Array) -> Array:
    out = _dense(slots, x, "silu")
    if shared.gate == "none":
        return out
    return out / (1.0 + np.exp(-slots.product("router", x)))


def _chosen(router: Router | SparseMixer, logits: Array) -> tuple[Integers, Array]:
    """Return the chosen experts and their weights, both [num_tokens, num_experts_per_tok]."""
    match router:
        case Router():
            return _route(router, logits)
        case SparseMixer():
            return _mix_sparsely(router, logits)


def _mix_sparsely(router: SparseMixer, logits: Array) -> tuple[Integers, Array]:
    expert_ids = np.argsort(-logits, axis=-1, kind="stable")[:, : router.num_experts_per_tok]
    left, weights = logits, list[Array]()
    for ids in np.split(expert_ids, router.num_experts_per_tok, axis=-1):
        best = np.take_along_axis(left, ids, axis=-1)
        is_far = (best - logits) / np.maximum(np.abs(logits), best) > 2 * router.jitter
        near = _softmax(np.where(is_far, -np.inf, left))
        weights.append(np.take_along_axis(near, ids, axis=-1))
        left = left.copy()
        np.put_along_axis(left, ids, -np.inf, axis=-1)
    return expert_ids, np.concatenate(weights, axis=-1)


def _route(router: Router, logits: Array) -> tuple[Integers, Array]:
    scores = _softmax(logits)
    order = np.argsort(-scores, axis=-1, kind="stable")
    expert_ids = order[:, : router.num_experts_per_tok]
    weights = np.take_along_axis(scores, expert_ids, axis=-1)
    if router.renormalize:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    return expert_ids, weights


def _activated(activation: Activation, x: Array) -> Array:
    match activation:
        case "silu":
            return x / (1.0 + np.exp(-x))
        case "gelu_tanh":
            return x / 2 * (1.0 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
