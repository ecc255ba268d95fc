"""Attention whose keys and values are made from one short latent vector a token (MLA).

    x ─► [latent | rotated part of all keys] ─► norm of the latent ─► keys and values of every head
    x ─► (latent of the queries ─► norm ─►) queries

A head is [rotated part | the rest], so that the operator rotates the first columns only; values are
filled up with zeros to the size of a head, which the operator needs, and cut afterwards.

The cache holds the heads' own keys and values: num_attention_heads * 2 * head_dim numbers a token.
The latent and the rotated part would be key_value_rank + rope_head_dim, 576 instead of 6,144 for
DeepSeek-V2-Lite, but no operator on CPU reads them, and expanding them anew costs every step the
whole context.
"""

from collections.abc import Mapping

import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.graph.layers.attention import AttentionInputs, AttentionOutputs, mixed_heads
from export.graph.layers.linear import linear
from export.graph.layers.norm import rms_norm
from export.quantization.blockwise import Weight
from export.spec.decoder import Latent


def latent_attention(
    graph: GraphBuilder,
    spec: Latent,
    weights: Mapping[str, Weight],
    x: Value,
    inputs: AttentionInputs,
) -> AttentionOutputs:
    """Attend to the cache and to x, [batch, sequence, hidden_size]; also return the new cache."""
    query = _rotated_first(graph, spec, _query(graph, spec, weights, x))
    key, value = _key_value(graph, spec, weights, x)
    mixed, present_key, present_value = mixed_heads(graph, spec, (query, key, value), inputs)
    cut = graph.op(
        "Slice",
        _heads(graph, mixed, spec.head_dim),
        *(_integers(graph, number) for number in (0, spec.value_head_dim, -1)),
    )
    return AttentionOutputs(
        x=linear(graph, weights["output"], _joined(graph, cut)),
        present_key=present_key,
        present_value=present_value,
    )


def _query(graph: GraphBuilder, spec: Latent, weights: Mapping[str, Weight], x: Value) -> Value:
    if spec.query_rank is None:
        return linear(graph, weights["query"], x)
    latent = linear(graph, weights["query_down"], x)
    normed = rms_norm(graph, spec.norm, weights["query_norm"], latent)
    return linear(graph, weights["query_up"], normed)


def _rotated_first(graph: GraphBuilder, spec: Latent, query: Value) -> Value:
    parts = [spec.nope_head_dim, spec.rope_head_dim]
    nope, rope = _split(graph, _heads(graph, query, spec.head_dim), parts)
    return _joined(graph, graph.op("Concat", rope, nope, axis=-1))


def _key_value(
    graph: GraphBuilder, spec: Latent, weights: Mapping[str, Weight], x: Value
) -> tuple[Value, Value]:
    down = linear(graph, weights["key_value_down"], x)
    latent, rope = _split(graph, down, [spec.key_value_rank, spec.rope_head_dim])
    normed = rms_norm(graph, spec.norm, weights["key_value_norm"], latent)
    up = linear(graph, weights["key_value_up"], normed)
    parts = [spec.nope_head_dim, spec.value_head_dim]
    nope, value = _split(graph, _heads(graph, up, sum(parts)), parts)
    every_head = _integers(graph, 1, 1, spec.num_attention_heads, 1)
    rope = graph.op("Expand", _heads(graph, rope, spec.rope_head_dim), every_head)
    key = graph.op("Concat", rope, nope, axis=-1)
    missing = spec.head_dim - spec.value_head_dim
    filled = graph.op("Pad", value, _integers(graph, 0, 0, 0, 0, 0, 0, 0, missing))
    return _joined(graph, key), _joined(graph, filled)


def _heads(graph: GraphBuilder, x: Value, size: int) -> Value:
    """Return [batch, sequence, heads, size]."""
    return graph.op("Reshape", x, _integers(graph, 0, 0, -1, size))


def _joined(graph: GraphBuilder, heads: Value) -> Value:
    """Return [batch, sequence, heads * size]."""
    return graph.op("Reshape", heads, _integers(graph, 0, 0, -1))


def _split(graph: GraphBuilder, x: Value, sizes: list[int]) -> tuple[Value, Value]:
    first, second = graph.ops(
        "Split", [x, _integers(graph, *sizes)], num_outputs=2, attributes={"axis": -1}
    )
    return first, second


def _integers(graph: GraphBuilder, *numbers: int) -> Value:
    return graph.constant(np.array(numbers, np.int64))
