"""Compute a DecoderSpec with numpy, as plainly as its mathematics reads: the oracle.

Slow on purpose: no cache, no batch, no fused operator, one loop over layers and one over experts.
It knows no model family, no graph and no file. Arithmetic follows the dtype asked for; the result
is compared with graphs, and with transformers through the committed golden logits.

Weights are asked for layer by layer and forgotten, so a mapping that reads them on demand lets a
checkpoint pass through that does not fit in memory. An observer sees what each matrix is given.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from export.spec.decoder import (
    Activation,
    Attention,
    ClampedSwiglu,
    DecoderSpec,
    Dense,
    FeedForward,
    GroupedQuery,
    Latent,
    Layer,
    LayerNorm,
    Norm,
    QueryKeyNorm,
    RmsNorm,
    SharedExpert,
    SparseMoE,
    Ungated,
)
from export.spec.recurrence import (
    DeltaInputs,
    DeltaParameters,
    GatedDelta,
    gated_delta,
    ungrouped,
)
from export.spec.rope import Rope, rope_tables
from export.spec.routers import ScoredRouter, choose_experts

Array = npt.NDArray[np.floating[Any]]


_erf: Final = np.vectorize(math.erf, otypes=[np.float64])

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


def embed(
    spec: DecoderSpec, slots: Slots, token_ids: Sequence[int], *, window: int | None = None
) -> Array:
    """Return what the first layer is given, [num_tokens, hidden_size]; see `run_layer`."""
    x = slots["embedding"][np.asarray(token_ids, np.int64)] * spec.embedding_scale
    if not spec.learned_positions:
        return x
    return x + slots["positions"][np.arange(len(x)) % (window or len(x))]


def run_layer(
    spec: DecoderSpec, slots: Slots, index: int, x: Array, *, window: int | None = None
) -> Array:
    """Return what the next layer is given, [num_tokens, hidden_size].

    Rows are one text, or texts of `window` tokens that see nothing of each other.
    """
    return _layer(spec.layers[index], slots.under(f"layers.{index}."), x, window or len(x))


def normalize_last(spec: DecoderSpec, slots: Slots, x: Array) -> Array:
    """Return what the head is given after the last layer, [num_tokens, hidden_size]."""
    return _norm(spec.norm, slots, "norm", x)


def score(spec: DecoderSpec, slots: Slots, x: Array) -> Array:
    """Return the logits after the last layer, [num_tokens, vocab_size]."""
    normed = normalize_last(spec, slots, x)
    logits = slots.product("embedding" if spec.tie_word_embeddings else "head", normed)
    if spec.head.bias:
        logits = logits + slots["head_bias"]
    return _capped(spec.head.softcap, logits * spec.head.scale)


def _layer(layer: Layer, slots: Slots, x: Array, window: int) -> Array:
    normed = _incoming(layer, slots, "attention_norm", x)
    texts = np.split(normed, range(window, len(x), window))
    attended = [_attention(layer.attention, slots.under("attention."), text) for text in texts]
    x = x + _added(layer, slots, "attention_output_norm", np.concatenate(attended))
    normed = _incoming(layer, slots, "feed_forward_norm", x)
    out = _feed_forward(layer.feed_forward, slots, normed)
    return x + _added(layer, slots, "feed_forward_output_norm", out)


def _incoming(layer: Layer, slots: Slots, norm_name: str, x: Array) -> Array:
    return _norm(layer.norm, slots, norm_name, x) if layer.residual.has_inner_norm else x


def _added(layer: Layer, slots: Slots, norm_name: str, x: Array) -> Array:
    if layer.residual.has_outer_norm:
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
    match attention:
        case GroupedQuery():
            return _grouped_query(attention, slots, x)
        case Latent():
            return _latent(attention, slots, x)
        case GatedDelta():
            return _gated_delta(attention, slots, x)


def _gated_delta(spec: GatedDelta, slots: Slots, x: Array) -> Array:
    parameters = DeltaParameters(
        convolution=slots["convolution"][:, 0],
        decay_log=slots["decay_log"],
        decay_bias=slots["decay_bias"],
    )
    read, gate = gated_delta(spec, parameters, _delta_inputs(spec, slots, x))
    normed = _rms_norm(RmsNorm(epsilon=spec.norm_epsilon), slots["state_norm"], read)
    return slots.product("state_output", (normed * _activated("silu", gate)).reshape(len(x), -1))


def _delta_inputs(spec: GatedDelta, slots: Slots, x: Array) -> DeltaInputs:
    match spec.rows:
        case "by_key_head":
            projected = slots.product("query_key_value_gate", x)
            return ungrouped(spec, projected, slots.product("rate_decay", x))
        case "apart":
            return DeltaInputs(
                query_key_value=slots.product("query_key_value", x),
                gate=slots.product("gate", x),
                rate=slots.product("rate", x),
                decay=slots.product("decay", x),
            )


def _latent(attention: Latent, slots: Slots, x: Array) -> Array:
    query, key, value = _latent_heads(attention, slots, x)  # [heads, num_tokens, size]
    scores = query @ key.transpose(0, 2, 1) * attention.score_scale
    mixed = _softmax(np.where(_is_hidden(len(x), None), -np.inf, scores)) @ value
    return slots.product("output", mixed.transpose(1, 0, 2).reshape(len(x), -1))


def _latent_heads(attention: Latent, slots: Slots, x: Array) -> tuple[Array, Array, Array]:
    if attention.query_rank is None:
        query = slots.product("query", x)
    else:
        latent = _rms_norm(attention.norm, slots["query_norm"], slots.product("query_down", x))
        query = slots.product("query_up", latent)
    down = slots.product("key_value_down", x)
    latent, key_rope = np.split(down, [attention.key_value_rank], axis=-1)
    latent = _rms_norm(attention.norm, slots["key_value_norm"], latent)
    size = attention.nope_head_dim + attention.value_head_dim
    expanded = _split_heads(slots.product("key_value_up", latent), size)
    key, value = np.split(expanded, [attention.nope_head_dim], axis=-1)
    query, query_rope = np.split(
        _split_heads(query, attention.head_dim), [attention.nope_head_dim], axis=-1
    )
    query_rope, key_rope = (
        _rotated(attention.rope, heads) for heads in (query_rope, key_rope[None])
    )
    key_rope = np.broadcast_to(key_rope, (len(key), *key_rope.shape[1:]))
    return (
        np.concatenate([query, query_rope], axis=-1),
        np.concatenate([key, key_rope], axis=-1),
        value,
    )


def _grouped_query(attention: GroupedQuery, slots: Slots, x: Array) -> Array:
    query, key, value, gate = _heads(attention, slots, x)  # [heads, num_tokens, head_dim]
    group = attention.num_attention_heads // attention.num_key_value_heads
    key, value = np.repeat(key, group, axis=0), np.repeat(value, group, axis=0)
    scores = _capped(attention.softcap, query @ key.transpose(0, 2, 1) * attention.score_scale)
    scores = np.where(_is_hidden(len(x), attention.window), -np.inf, scores)
    if attention.sinks:
        mixed = _softmax_with(slots["sinks"][:, None, None], scores) @ value
    else:
        mixed = _softmax(scores) @ value
    if gate is not None:
        mixed = mixed / (1.0 + np.exp(-gate))
    mixed = mixed.transpose(1, 0, 2)  # [num_tokens, heads, head_dim]
    if attention.softplus_gate is not None:
        gates = np.logaddexp(slots.product("gate", x), 0.0)
        mixed = mixed * gates.reshape(*mixed.shape[:2], -1)
    return _project(slots, "output", mixed.reshape(len(x), -1), bias=attention.output_bias)


def _softmax_with(sinks: Array, scores: Array) -> Array:
    """Return the softmax over scores and a sink, without the sink's share."""
    column = np.broadcast_to(sinks, (*scores.shape[:-1], 1))
    return _softmax(np.concatenate([scores, column], axis=-1))[..., :-1]


def _is_hidden(num_tokens: int, window: int | None) -> npt.NDArray[np.bool_]:
    """Say for each token which others it does not see, [num_tokens, num_tokens]."""
    positions = np.arange(num_tokens)
    distance = positions[:, None] - positions
    return (distance < 0) | (distance >= (num_tokens if window is None else window))


def _heads(
    attention: GroupedQuery, slots: Slots, x: Array
) -> tuple[Array, Array, Array, Array | None]:
    query, key, value = (
        _project(slots, name, x, bias=attention.input_bias) for name in ("query", "key", "value")
    )
    gate: Array | None = None
    if attention.output_gate:
        both = _split_heads(query, 2 * attention.head_dim)
        query, gate = np.split(both, 2, axis=-1)
        query = query.transpose(1, 0, 2).reshape(len(x), -1)
    query = _norm_heads(attention.query_key_norm, slots, "query_norm", query, attention.head_dim)
    key = _norm_heads(attention.query_key_norm, slots, "key_norm", key, attention.head_dim)
    query, key = (_rotated_in_part(attention, heads) for heads in (query, key))
    return query, key, _split_heads(value, attention.head_dim), gate


def _rotated_in_part(attention: GroupedQuery, heads: Array) -> Array:
    if attention.rope is None:
        return heads
    first, rest = np.split(heads, [attention.rotary_dim], axis=-1)
    return np.concatenate([_rotated(attention.rope, first), rest], axis=-1)


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


def _rotated(rope: Rope, x: Array) -> Array:
    """Rotate [heads, num_tokens, size]."""
    cosines, sines = (
        table.astype(x.dtype) for table in rope_tables(rope, x.shape[-1], x.shape[-2])
    )
    if rope.interleaved:
        first, second = x[..., 0::2], x[..., 1::2]
    else:
        first, second = np.split(x, 2, axis=-1)
    turned = [first * cosines - second * sines, second * cosines + first * sines]
    if rope.interleaved:
        return np.stack(turned, axis=-1).reshape(x.shape)
    return np.concatenate(turned, axis=-1)


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
    logits = _project(slots, "router", x, bias=moe.router.bias)
    has_correction = isinstance(moe.router, ScoredRouter) and moe.router.correction
    correction = slots["router_correction"] if has_correction else 0.0
    expert_ids, expert_weights = choose_experts(moe.router, logits, correction)
    gate, up, down = slots["gate"], slots["up"], slots["down"]
    gate_bias, up_bias, down_bias = (
        slots[f"{name}_bias"] if moe.bias else np.zeros((moe.num_experts, 1), x.dtype)
        for name in ("gate", "up", "down")
    )
    mixed = np.zeros_like(x)
    for expert in range(moe.num_experts):
        rows, choices = np.nonzero(expert_ids == expert)
        chosen = x[rows]
        slots.saw("gate", chosen, expert=expert)
        slots.saw("up", chosen, expert=expert)
        gated = _gated(
            moe.activation,
            chosen @ gate[expert].T + gate_bias[expert],
            chosen @ up[expert].T + up_bias[expert],
        )
        slots.saw("down", gated, expert=expert)
        out = gated @ down[expert].T + down_bias[expert]
        mixed[rows] += expert_weights[rows, choices, None] * out
    return mixed if moe.shared is None else mixed + _shared(moe.shared, slots.under("shared."), x)


def _shared(shared: SharedExpert, slots: Slots, x: Array) -> Array:
    out = _dense(slots, x, "silu")
    if shared.gate == "none":
        return out
    return out / (1.0 + np.exp(-slots.product("router", x)))


def _activated(activation: Activation, x: Array) -> Array:
    match activation:
        case "silu":
            return x / (1.0 + np.exp(-x))
        case "gelu":
            return x / 2 * (1.0 + _erf(x / math.sqrt(2)).astype(x.dtype))
        case "gelu_tanh":
            return x / 2 * (1.0 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _gated(activation: Activation | ClampedSwiglu, gate: Array, up: Array) -> Array:
    match activation:
        case ClampedSwiglu(alpha=alpha, limit=limit):
            gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
            return gate / (1.0 + np.exp(-alpha * gate)) * (up + 1.0)
        case _:
            return _activated(activation, gate) * up


def _softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
