"""Grouped-query attention over keys and values that stay in the caller's buffers.

            ┌─► Split ─► q ─► norm ─┐
    x ─► q|k|v ──────► k ─► norm ─┼─► GroupQueryAttention ─► (* gate) ─► output projection
            └────────► v ─────────┘     rotates, appends to the cache, mixes

The norms stand before the operator on CPU, which refuses its own (onnxruntime 1.31). On CUDA they
are inputs of it where they are one for each head.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from export.graph.builder import MICROSOFT, AttributeValue, GraphBuilder, Value
from export.graph.layers.linear import linear, stacked_rows, vector
from export.graph.layers.norm import rms_norm, rms_scale
from export.graph.layers.rope import RopeValues, rotated_order
from export.quantization.blockwise import Float, Weight, take_rows
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import CachedAttention, GroupedQuery, Latent, RmsNorm

_POSITIONS_INPUT: Final = 9
_SINKS_INPUT: Final = 11
_NORMS_INPUT: Final = 14


class AttentionInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What attention reads beside x. The lengths are those after this run's tokens were added.

    `past_key` and `past_value` are [batch, num_key_value_heads, capacity, head_dim]. Where they
    hold the last tokens only, the lengths count those, and `position_ids`, [batch, sequence], say
    where x stands in the whole text; where None, it stands behind the tokens held. `places` say it
    in any case, for what `looks_places_up`. `query_sizes`, [batch, sequence, 1], multiply queries.
    """

    past_key: Value
    past_value: Value
    seqlens_k: Value
    total_sequence_length: Value
    rope: RopeValues | None
    position_ids: Value | None = None
    places: Value | None = None
    query_sizes: Value | None = None


class AttentionOutputs(msgspec.Struct, frozen=True, kw_only=True):
    x: Value
    present_key: Value
    present_value: Value


def attention(
    graph: GraphBuilder,
    spec: GroupedQuery,
    weights: Mapping[str, Weight],
    x: Value,
    inputs: AttentionInputs,
) -> AttentionOutputs:
    """Attend to the cache and to x, [batch, sequence, hidden_size]; also return the new cache."""
    query, key, value, gate = _query_key_value_gate(graph, spec, weights, x)
    norm = spec.query_key_norm
    if norm is not None and norm.behind_rotation:
        query, key = (
            _norm_heads(
                graph, spec, norm, _norm(spec, weights, name), _rotated(graph, spec, inputs, heads)
            )
            for name, heads in (("query", query), ("key", key))
        )
        inputs = msgspec.structs.replace(inputs, rope=None)
    if inputs.query_sizes is not None:
        query = graph.op("Mul", query, inputs.query_sizes)
    further = _further_inputs(graph, spec, weights)
    mixed, present_key, present_value = mixed_heads(
        graph, spec, (query, key, value), inputs, further=further
    )
    if gate is not None:
        mixed = graph.op("Mul", mixed, graph.op("Sigmoid", gate))
    if spec.softplus_gate is not None:
        mixed = _gated_by_softplus(graph, spec, mixed, linear(graph, weights["gate"], x))
    return AttentionOutputs(
        x=linear(graph, weights["output"], mixed, weights.get("output_bias")),
        present_key=present_key,
        present_value=present_value,
    )


def _gated_by_softplus(graph: GraphBuilder, spec: GroupedQuery, mixed: Value, gate: Value) -> Value:
    gates = graph.op("Softplus", gate)
    if spec.softplus_gate == "number":
        return graph.op("Mul", mixed, gates)
    heads = graph.op("Reshape", mixed, _integers(graph, 0, 0, -1, spec.head_dim))
    gated = graph.op("Mul", heads, graph.op("Unsqueeze", gates, _integers(graph, -1)))
    return graph.op("Reshape", gated, _integers(graph, 0, 0, -1))


def looks_places_up(spec: CachedAttention) -> bool:
    """Say whether something beside the operator asks where tokens stand."""
    match spec:
        case GroupedQuery(query_key_norm=norm, query_scale=scale):
            return scale is not None or (norm is not None and norm.behind_rotation)
        case Latent():
            return False


def _rotated(graph: GraphBuilder, spec: GroupedQuery, inputs: AttentionInputs, x: Value) -> Value:
    """Rotate heads, [batch, sequence, heads * head_dim], before attention gets them."""
    rope = inputs.rope
    if spec.rope is None or rope is None:
        return x
    assert spec.rotary_dim == spec.head_dim
    return graph.op(
        "RotaryEmbedding",
        x,
        inputs.places,
        rope.cosines,
        rope.sines,
        domain=MICROSOFT,
        interleaved=int(spec.rope.interleaved),
    )


def mixed_heads(
    graph: GraphBuilder,
    spec: CachedAttention,
    query_key_value: tuple[Value, Value, Value],
    inputs: AttentionInputs,
    *,
    further: Mapping[int, Value] | None = None,
) -> Sequence[Value]:
    """Return what each head read, [batch, sequence, heads * head_dim], and the new cache.

    `further` are inputs of the operator by their number.
    """
    found = dict(further or {})
    rope = inputs.rope
    if rope is not None and inputs.position_ids is not None:
        found[_POSITIONS_INPUT] = inputs.position_ids
    return graph.ops(
        "GroupQueryAttention",
        [
            *query_key_value,
            inputs.past_key,
            inputs.past_value,
            inputs.seqlens_k,
            inputs.total_sequence_length,
            *((None, None) if rope is None else (rope.cosines, rope.sines)),
            *(found.get(number) for number in range(_POSITIONS_INPUT, max(found, default=0) + 1)),
        ],
        num_outputs=3,
        domain=MICROSOFT,
        attributes=_attributes(spec, rope) | _norm_attributes(graph, spec),
    )


def _further_inputs(
    graph: GraphBuilder, spec: GroupedQuery, weights: Mapping[str, Weight]
) -> dict[int, Value]:
    found = {_SINKS_INPUT: vector(graph, weights["sinks"])} if spec.sinks else {}
    norm = _inner_norm(graph, spec)
    if norm is not None:
        for number, name in enumerate(("query", "key"), _NORMS_INPUT):
            found[number] = rms_scale(graph, norm, _norm(spec, weights, name))
    return found


def _inner_norm(graph: GraphBuilder, spec: CachedAttention) -> RmsNorm | None:
    """Return the norm that the operator does itself."""
    match spec:
        case GroupedQuery(
            query_key_norm=QueryKeyNorm(norm=norm, over="head", behind_rotation=False)
        ):
            return norm if graph.target.normalizes_heads else None
        case _:
            return None


def _norm_attributes(graph: GraphBuilder, spec: CachedAttention) -> dict[str, AttributeValue]:
    norm = _inner_norm(graph, spec)
    return {} if norm is None else {"qk_norm_epsilon": norm.epsilon}


def _attributes(spec: CachedAttention, rope: RopeValues | None) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "num_heads": spec.num_attention_heads,
        "kv_num_heads": spec.num_key_value_heads,
    }
    if spec.rope is not None and rope is not None:
        attributes |= {"do_rotary": 1, "rotary_interleaved": int(spec.rope.interleaved)}
    attributes["scale"] = spec.score_scale
    match spec:
        case GroupedQuery(window=window, softcap=softcap):
            attributes |= {} if window is None else {"local_window_size": window}
            return attributes | ({} if softcap is None else {"softcap": softcap})
        case Latent():
            return attributes


def _query_key_value_gate(
    graph: GraphBuilder, spec: GroupedQuery, weights: Mapping[str, Weight], x: Value
) -> tuple[Value, Value, Value, Value | None]:
    """Return all heads' parts, [batch, sequence, heads * head_dim], computed by one product."""
    names = ("query", "key") if spec.keys_are_values else ("query", "key", "value")
    parts = [_in_order(spec, name, weights[name]) for name in names]
    heads = [spec.num_attention_heads, *[spec.num_key_value_heads] * (len(names) - 1)]
    if spec.output_gate:
        rows = np.arange(2 * heads[0] * spec.head_dim).reshape(heads[0], 2, spec.head_dim)
        both, *others = parts
        parts = [take_rows(both, rows[:, 0].ravel()), *others, take_rows(both, rows[:, 1].ravel())]
        heads.append(spec.num_attention_heads)
    packed = stacked_rows(parts)
    sizes = graph.constant(np.array(heads, np.int64) * spec.head_dim)
    joined = linear(graph, packed, x, _packed_bias(spec, weights))
    query, key, *others = graph.ops(
        "Split", [joined, sizes], num_outputs=len(heads), attributes={"axis": -1}
    )
    gate = others.pop() if spec.output_gate else None
    value = others[0] if others else key
    norm = spec.query_key_norm
    if norm is not None and not norm.behind_rotation and _inner_norm(graph, spec) is None:
        query = _norm_heads(graph, spec, norm, _norm(spec, weights, "query"), query)
        key = _norm_heads(graph, spec, norm, _norm(spec, weights, "key"), key)
    if spec.value_norm is not None:
        ones = Float(np.ones(spec.head_dim, np.float32))
        value = _norm_each_head(graph, spec, spec.value_norm, ones, value)
    return query, key, value, gate


def _in_order(spec: GroupedQuery, name: str, weight: Weight) -> Weight:
    """Return a weight with the numbers of each head where the operator rotates them."""
    order = None if spec.rope is None else rotated_order(spec.rope, spec.rotary_dim, spec.head_dim)
    if order is None or name.startswith("value"):
        return weight
    if spec.output_gate and name == "query":  # whose rows are followed by the gate's
        order = np.concatenate([order, np.arange(spec.head_dim, 2 * spec.head_dim)])
    num_rows = len(weight.values if isinstance(weight, Float) else weight.scales)
    rows = np.arange(num_rows).reshape(-1, len(order))[:, order]
    return take_rows(weight, rows.ravel())


def _norm(spec: GroupedQuery, weights: Mapping[str, Weight], name: str) -> Weight:
    return _in_order(spec, f"{name}_norm", weights[f"{name}_norm"])


def _packed_bias(spec: GroupedQuery, weights: Mapping[str, Weight]) -> Weight | None:
    if not spec.input_bias:
        return None
    names = [f"{name}_bias" for name in ("query", "key", "value")]
    parts = [_in_order(spec, name, weights[name]) for name in names]
    return Float(np.concatenate([part.values for part in parts if isinstance(part, Float)]))


def _norm_heads(
    graph: GraphBuilder, spec: GroupedQuery, norm: QueryKeyNorm, weight: Weight, x: Value
) -> Value:
    if norm.over == "projection":
        return rms_norm(graph, norm.norm, weight, x)
    return _norm_each_head(graph, spec, norm.norm, weight, x)


def _norm_each_head(
    graph: GraphBuilder, spec: GroupedQuery, norm: RmsNorm, weight: Weight, x: Value
) -> Value:
    split = graph.op("Reshape", x, _integers(graph, 0, 0, -1, spec.head_dim))
    normed = rms_norm(graph, norm, weight, split)
    return graph.op("Reshape", normed, _integers(graph, 0, 0, -1))


def _integers(graph: GraphBuilder, *numbers: int) -> Value:
    return graph.constant(np.array(numbers, np.int64))
