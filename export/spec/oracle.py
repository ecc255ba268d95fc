"""Compute a DecoderSpec with numpy, as plainly as its mathematics reads: the oracle.

Slow on purpose: no cache, no batch, no fused operator, one loop over layers and one over experts.
It knows no model family, no graph and no file. Arithmetic follows the dtype asked for; the result
is compared with graphs, and with transformers through the committed golden logits.

Weights are asked for layer by layer and forgotten, so a mapping that reads them on demand lets a
checkpoint pass through that does not fit in memory. An observer sees what each matrix is given.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from export.spec.attending import capped, grouped_query, latent, project
from export.spec.decoder import (
    Absent,
    Activation,
    Attention,
    ClampedSwiglu,
    DecoderSpec,
    Dense,
    GroupedQuery,
    Hidden,
    Latent,
    Layer,
    LayerNorm,
    Norm,
    RmsNorm,
    SharedExpert,
    SparseMoE,
    Ungated,
)
from export.spec.norms import rms_norm
from export.spec.recurrence import (
    DeltaInputs,
    DeltaParameters,
    GatedDelta,
    ShortConvolution,
    StateSpace,
    StateSpaceParameters,
    gated_delta,
    short_convolution,
    state_space,
    ungrouped,
)
from export.spec.routers import NOTHING_LEARNED, AnyRouter, Learned, ScoredRouter, choose_experts
from export.spec.tensors import Array, Slots

_erf: Final = np.vectorize(math.erf, otypes=[np.float64])


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
    x = _run_layers(spec, slots, embed(spec, slots, token_ids))
    return score(spec, slots, x)


def hidden_states(
    spec: DecoderSpec,
    weights: Mapping[str, Array],
    token_ids: Sequence[int],
    hidden: Hidden,
    *,
    dtype: npt.DTypeLike = np.float64,
) -> Array:
    """Return what a predictor reads of every position, [num_tokens, hidden_size]."""
    slots = Slots(weights, dtype)
    x = _run_layers(spec, slots, embed(spec, slots, token_ids))
    return normalize_last(spec, slots, x) if hidden == "normed" else x


def predict(
    spec: DecoderSpec,
    weights: Mapping[str, Array],
    token_ids: Sequence[int],
    given: Array,
    *,
    dtype: npt.DTypeLike = np.float64,
) -> Array:
    """Return a predictor's logits of every position, [num_tokens, vocab_size].

    `given`, [num_tokens, hidden_size], are the hidden states of the tokens before `token_ids`.
    """
    slots = Slots(weights, dtype)
    x = _run_layers(spec, slots, _joined(spec, slots, embed(spec, slots, token_ids), given))
    return score(spec, slots, x)


def _joined(spec: DecoderSpec, slots: Slots, embedded: Array, given: Array) -> Array:
    assert spec.joining is not None
    parts = slots.under("joining.")
    token = _norm(spec.norm, parts, "token_norm", embedded)
    hidden = _norm(spec.norm, parts, "hidden_norm", given.astype(embedded.dtype))
    pair = (hidden, token) if spec.joining.hidden_first else (token, hidden)
    return parts.product("projection", np.concatenate(pair, axis=-1))


def _run_layers(spec: DecoderSpec, slots: Slots, x: Array) -> Array:
    for index in range(len(spec.layers)):
        x = run_layer(spec, slots, index, x)
    return x


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
    return capped(spec.head.softcap, logits * spec.head.scale)


def _layer(layer: Layer, slots: Slots, x: Array, window: int) -> Array:
    normed = _incoming(layer, slots, "attention_norm", x)
    texts = np.split(normed, range(window, len(x), window))
    attended = [_attention(layer.attention, slots.under("attention."), text) for text in texts]
    x = x + _added(layer, slots, "attention_output_norm", np.concatenate(attended))
    if isinstance(layer.feed_forward, Absent):
        return x
    normed = _incoming(layer, slots, "feed_forward_norm", x)
    out = _feed_forward(layer.feed_forward, slots, normed, x)
    x = x + _added(layer, slots, "feed_forward_output_norm", out)
    return x * slots["output_scale"] if layer.output_scale else x


def _incoming(layer: Layer, slots: Slots, norm_name: str, x: Array) -> Array:
    return _norm(layer.norm, slots, norm_name, x) if layer.residual.has_inner_norm else x


def _added(layer: Layer, slots: Slots, norm_name: str, x: Array) -> Array:
    if layer.residual.has_outer_norm:
        x = _norm(layer.norm, slots, norm_name, x)
    return x * layer.residual.scale


def _norm(norm: Norm, slots: Slots, name: str, x: Array) -> Array:
    match norm:
        case RmsNorm():
            return rms_norm(norm, slots[name], x)
        case LayerNorm(epsilon=epsilon):
            centered = x - x.mean(axis=-1, keepdims=True)
            variance = np.mean(centered * centered, axis=-1, keepdims=True)
            return centered / np.sqrt(variance + epsilon) * slots[name] + slots[f"{name}_bias"]


def _attention(attention: Attention, slots: Slots, x: Array) -> Array:
    match attention:
        case GroupedQuery():
            return grouped_query(attention, slots, x)
        case Latent():
            return latent(attention, slots, x)
        case GatedDelta():
            return _gated_delta(attention, slots, x)
        case StateSpace():
            return _state_space(attention, slots, x)
        case ShortConvolution():
            projected = slots.product("gates_channels", x)
            mixed = short_convolution(slots["convolution"][:, 0], projected)
            return slots.product("state_output", mixed)


def _gated_delta(spec: GatedDelta, slots: Slots, x: Array) -> Array:
    parameters = DeltaParameters(
        convolution=slots["convolution"][:, 0],
        decay_log=slots["decay_log"],
        decay_bias=slots["decay_bias"],
    )
    read, gate = gated_delta(spec, parameters, _delta_inputs(spec, slots, x))
    normed = rms_norm(RmsNorm(epsilon=spec.norm_epsilon), slots["state_norm"], read)
    return slots.product("state_output", (normed * _activated("silu", gate)).reshape(len(x), -1))


def _state_space(spec: StateSpace, slots: Slots, x: Array) -> Array:
    parameters = StateSpaceParameters(
        convolution=slots["convolution"][:, 0],
        convolution_bias=slots["convolution_bias"] if spec.convolution_bias else 0.0,
        step_bias=slots["step_bias"],
        decay_log=slots["decay_log"],
        value_scale=slots["value_scale"],
    )
    channels, step = slots.product("value_key_query", x), slots.product("step", x)
    read = state_space(spec, parameters, channels, step).reshape(len(x), -1)
    gated = read * _activated("silu", slots.product("gate", x))
    grouped = gated.reshape(len(x), spec.num_key_heads, -1)
    ones = np.ones(grouped.shape[-1], x.dtype)
    normed = rms_norm(RmsNorm(epsilon=spec.norm_epsilon), ones, grouped).reshape(len(x), -1)
    return slots.product("state_output", normed * slots["state_norm"])


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


def _feed_forward(
    feed_forward: Dense | Ungated | SparseMoE, slots: Slots, x: Array, stream: Array
) -> Array:
    """Return what the part gives; `stream` is what x is the norm of."""
    match feed_forward:
        case Dense():
            return _dense(slots.under("mlp."), x, feed_forward.activation)
        case Ungated():
            return _ungated(feed_forward, slots.under("mlp."), x)
        case SparseMoE():
            return _sparse_moe(feed_forward, slots.under("moe."), x, stream)


def _dense(slots: Slots, x: Array, activation: Activation) -> Array:
    gated = _activated(activation, slots.product("gate", x)) * slots.product("up", x)
    return slots.product("down", gated)


def _up_and_down(slots: Slots, x: Array, activation: Activation) -> Array:
    return slots.product("down", _activated(activation, slots.product("up", x)))


def _ungated(spec: Ungated, slots: Slots, x: Array) -> Array:
    up = project(slots, "up", x, bias=spec.bias)
    return project(slots, "down", _activated(spec.activation, up), bias=spec.bias)


def _sparse_moe(moe: SparseMoE, slots: Slots, x: Array, stream: Array) -> Array:
    if moe.norm is None:
        chosen = _chosen_experts(moe, slots, x, project(slots, "router", x, bias=moe.router.bias))
        return chosen if moe.shared is None else chosen + _shared(moe, moe.shared, slots, x)
    routed = rms_norm(moe.norm, slots["router_norm"], stream)
    logits = project(slots, "router", routed, bias=moe.router.bias) / math.sqrt(x.shape[-1])
    given = rms_norm(moe.norm, slots["input_norm"], stream)
    chosen = _chosen_experts(moe, slots, given, logits)
    chosen = rms_norm(moe.norm, slots["output_norm"], chosen)
    if moe.shared is None:
        return chosen
    shared = _shared(moe, moe.shared, slots, x)
    return chosen + rms_norm(moe.norm, slots["shared.output_norm"], shared)


def _learned(router: AnyRouter, slots: Slots) -> Learned:
    match router:
        case ScoredRouter(correction=has_correction, expert_scale=has_scale):
            return Learned(
                correction=slots["router_correction"] if has_correction else None,
                expert_scale=slots["router_scale"] if has_scale else None,
            )
        case _:
            return NOTHING_LEARNED


def _chosen_experts(moe: SparseMoE, slots: Slots, x: Array, logits: Array) -> Array:
    learned = _learned(moe.router, slots)
    expert_ids, expert_weights = choose_experts(moe.router, logits, learned)
    matrices = {name: slots[name] for name in moe.matrices}
    biases = {
        name: slots[f"{name}_bias"] if moe.bias else np.zeros((moe.num_experts, 1), x.dtype)
        for name in moe.matrices
    }
    if moe.latent_size is not None:
        x = slots.product("latent_in", x)
    mixed = np.zeros_like(x)
    for expert in range(moe.num_experts):
        rows, choices = np.nonzero(expert_ids == expert)
        chosen = x[rows]
        *first, last = moe.matrices
        for name in first:
            slots.saw(name, chosen, expert=expert)
        given = [chosen @ matrices[name][expert].T + biases[name][expert] for name in first]
        inner = _gated(moe.activation, *given) if moe.gated else _alone(moe.activation, *given)
        slots.saw(last, inner, expert=expert)
        out = inner @ matrices[last][expert].T + biases[last][expert]
        mixed[rows] += expert_weights[rows, choices, None] * out
    return mixed if moe.latent_size is None else slots.product("latent_out", mixed)


def _alone(activation: Activation | ClampedSwiglu, up: Array) -> Array:
    assert not isinstance(activation, ClampedSwiglu)
    return _activated(activation, up)


def _shared(moe: SparseMoE, shared: SharedExpert, slots: Slots, x: Array) -> Array:
    assert not isinstance(moe.activation, ClampedSwiglu)
    compute = _dense if moe.gated else _up_and_down
    out = compute(slots.under("shared."), x, moe.activation)
    if shared.gate == "none":
        return out
    return out / (1.0 + np.exp(-slots.product("shared.router", x)))


def _activated(activation: Activation, x: Array) -> Array:
    match activation:
        case "silu":
            return x / (1.0 + np.exp(-x))
        case "gelu":
            return x / 2 * (1.0 + _erf(x / math.sqrt(2)).astype(x.dtype))
        case "gelu_tanh":
            return x / 2 * (1.0 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        case "relu2":
            return np.maximum(x, 0) ** 2


def _gated(activation: Activation | ClampedSwiglu, gate: Array, up: Array) -> Array:
    match activation:
        case ClampedSwiglu(alpha=alpha, limit=limit):
            gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
            return gate / (1.0 + np.exp(-alpha * gate)) * (up + 1.0)
        case _:
            return _activated(activation, gate) * up
