"""What attention computes, with numpy and for a whole text at once: a part of the oracle."""

import numpy as np
import numpy.typing as npt

from export.spec.attention import GroupedQuery, Latent, QueryKeyNorm, query_scales
from export.spec.norms import rms_norm
from export.spec.rope import Rope, rope_tables
from export.spec.tensors import Array, Slots


def grouped_query(attention: GroupedQuery, slots: Slots, x: Array) -> Array:
    query, key, value, gate = _heads(attention, slots, x)  # [heads, num_tokens, head_dim]
    group = attention.num_attention_heads // attention.num_key_value_heads
    key, value = np.repeat(key, group, axis=0), np.repeat(value, group, axis=0)
    scores = capped(attention.softcap, query @ key.transpose(0, 2, 1) * attention.score_scale)
    scores = np.where(_is_hidden(len(x), attention.window), -np.inf, scores)
    if attention.sinks:
        mixed = _softmax_with(slots["sinks"][:, None, None], scores) @ value
    else:
        mixed = softmax(scores) @ value
    if gate is not None:
        mixed = mixed / (1.0 + np.exp(-gate))
    mixed = mixed.transpose(1, 0, 2)  # [num_tokens, heads, head_dim]
    if attention.softplus_gate is not None:
        gates = np.logaddexp(slots.product("gate", x), 0.0)
        mixed = mixed * gates.reshape(*mixed.shape[:2], -1)
    return project(slots, "output", mixed.reshape(len(x), -1), bias=attention.output_bias)


def _heads(
    attention: GroupedQuery, slots: Slots, x: Array
) -> tuple[Array, Array, Array, Array | None]:
    query, key, value = (
        project(slots, name, x, bias=attention.input_bias)
        for name in ("query", "key", "key" if attention.keys_are_values else "value")
    )
    gate: Array | None = None
    if attention.output_gate:
        both = _split_heads(query, 2 * attention.head_dim)
        query, gate = np.split(both, 2, axis=-1)
        query = query.transpose(1, 0, 2).reshape(len(x), -1)
    query, key = (
        _placed(attention, slots, name, heads) for name, heads in (("query", query), ("key", key))
    )
    if attention.query_scale is not None:
        scales = query_scales(attention.query_scale, len(x)).astype(x.dtype)
        query = query * scales[:, None]
    value = _split_heads(value, attention.head_dim)
    if attention.value_norm is not None:
        value = rms_norm(attention.value_norm, np.ones(attention.head_dim, x.dtype), value)
    return query, key, value, gate


def _placed(attention: GroupedQuery, slots: Slots, name: str, x: Array) -> Array:
    """Return heads normalized and rotated, in the order that the norm says."""
    norm, size = attention.query_key_norm, attention.head_dim
    if norm is None or not norm.behind_rotation:
        heads = _norm_heads(norm, slots, f"{name}_norm", x, size)
        return _rotated_in_part(attention, heads)
    heads = _rotated_in_part(attention, _split_heads(x, size))
    return _norm_heads(norm, slots, f"{name}_norm", _joined(heads), size)


def _joined(heads: Array) -> Array:
    """Return [num_tokens, heads * size]."""
    return heads.transpose(1, 0, 2).reshape(heads.shape[1], -1)


def _norm_heads(
    norm: QueryKeyNorm | None, slots: Slots, name: str, x: Array, head_dim: int
) -> Array:
    match norm:
        case None:
            return _split_heads(x, head_dim)
        case QueryKeyNorm(over="head"):
            return rms_norm(norm.norm, slots[name], _split_heads(x, head_dim))
        case QueryKeyNorm():
            return _split_heads(rms_norm(norm.norm, slots[name], x), head_dim)


def _rotated_in_part(attention: GroupedQuery, heads: Array) -> Array:
    if attention.rope is None:
        return heads
    first, rest = np.split(heads, [attention.rotary_dim], axis=-1)
    return np.concatenate([_rotated(attention.rope, first), rest], axis=-1)


def _softmax_with(sinks: Array, scores: Array) -> Array:
    """Return the softmax over scores and a sink, without the sink's share."""
    column = np.broadcast_to(sinks, (*scores.shape[:-1], 1))
    return softmax(np.concatenate([scores, column], axis=-1))[..., :-1]


def _is_hidden(num_tokens: int, window: int | None) -> npt.NDArray[np.bool_]:
    """Say for each token which others it does not see, [num_tokens, num_tokens]."""
    positions = np.arange(num_tokens)
    distance = positions[:, None] - positions
    return (distance < 0) | (distance >= (num_tokens if window is None else window))


def latent(attention: Latent, slots: Slots, x: Array) -> Array:
    query, key, value = _latent_heads(attention, slots, x)  # [heads, num_tokens, size]
    scores = query @ key.transpose(0, 2, 1) * attention.score_scale
    mixed = softmax(np.where(_is_hidden(len(x), None), -np.inf, scores)) @ value
    return slots.product("output", mixed.transpose(1, 0, 2).reshape(len(x), -1))


def _latent_heads(attention: Latent, slots: Slots, x: Array) -> tuple[Array, Array, Array]:
    if attention.query_rank is None:
        query = slots.product("query", x)
    else:
        latent = rms_norm(attention.norm, slots["query_norm"], slots.product("query_down", x))
        query = slots.product("query_up", latent)
    down = slots.product("key_value_down", x)
    latent, key_rope = np.split(down, [attention.key_value_rank], axis=-1)
    latent = rms_norm(attention.norm, slots["key_value_norm"], latent)
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


def _split_heads(x: Array, head_dim: int) -> Array:
    return x.reshape(len(x), -1, head_dim).transpose(1, 0, 2)


def project(slots: Slots, name: str, x: Array, *, bias: bool) -> Array:
    projected = slots.product(name, x)
    return projected + slots[f"{name}_bias"] if bias else projected


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def capped(softcap: float | None, x: Array) -> Array:
    return x if softcap is None else softcap * np.tanh(x / softcap)
