"""Layers that keep a state by the gated delta rule: two stateful operators between projections.

    x ─► query|key|value ─► CausalConvWithState ─► of length one ─► LinearAttention ─► norm ─► * ─►
    x ─► rate, decay ─► LinearAttentionGate ───────────────────────┘                           │
    x ─► gate ─► silu ─────────────────────────────────────────────────────────────────────────┘

Both operators read one state and write another, which may not be the same buffer: a run that fails
must leave the state as it was. All of them have float32 kernels on CPU (onnxruntime 1.31), where
the rule goes token by token, 2 to 4 times as fast as in a Scan of plain operators (measured with 32
heads of 128 by 128); GatedDeltaNet, which is all of this in one, has none there.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from export.graph.builder import MICROSOFT, GraphBuilder, Value
from export.graph.layers.elementwise import activated
from export.graph.layers.linear import linear, stacked_rows, vector
from export.graph.layers.norm import rms_norm
from export.graph.layers.short_convolution import States, causal_convolution
from export.quantization.blockwise import Float, Weight, take_rows
from export.spec.decoder import RmsNorm
from export.spec.recurrence import GatedDelta

Rows = npt.NDArray[np.int64]


def gated_delta(
    graph: GraphBuilder,
    spec: GatedDelta,
    weights: Mapping[str, Weight],
    x: Value,
    past: States,
) -> tuple[Value, States]:
    """Return what the layer adds, [batch, sequence, hidden_size], and the states after it."""
    channels, gate = _channels_and_gate(graph, spec, weights, x)
    kernel = weights["convolution"]
    mixed, convolution = causal_convolution(graph, kernel, channels, past.convolution)
    active = activated(graph, "silu", mixed)
    query, key, value = _split(graph, active, [spec.key_size, spec.key_size, spec.value_size])
    decay, rate = _decay_and_rate(graph, spec, weights, x)
    read, recurrent = graph.ops(
        "LinearAttention",
        [
            *(_of_length_one(graph, spec, heads) for heads in (query, key)),
            *(value, past.recurrent, decay, rate),
        ],
        num_outputs=2,
        domain=MICROSOFT,
        attributes={
            "q_num_heads": spec.num_key_heads,
            "kv_num_heads": spec.num_value_heads,
            "update_rule": "gated_delta",
        },
    )
    norm = RmsNorm(epsilon=spec.norm_epsilon)
    normed = rms_norm(graph, norm, weights["state_norm"], _heads(graph, read, spec.value_head_dim))
    gated = graph.op("Mul", _joined(graph, normed), activated(graph, "silu", gate))
    states = States(convolution=convolution, recurrent=recurrent)
    return linear(graph, weights["state_output"], gated), states


def _channels_and_gate(
    graph: GraphBuilder, spec: GatedDelta, weights: Mapping[str, Weight], x: Value
) -> Sequence[Value]:
    match spec.rows:
        case "by_key_head":
            projection = take_rows(weights["query_key_value_gate"], _projection_rows(spec))
            sizes = [spec.num_channels, spec.value_size]
            return _split(graph, linear(graph, projection, x), sizes)
        case "apart":
            return [linear(graph, weights[name], x) for name in ("query_key_value", "gate")]


def _projection_rows(spec: GatedDelta) -> Rows:
    """Return where queries, keys, values and gates lie, which are stored by key head."""
    values = spec.group * spec.value_head_dim
    return _ungrouped(spec, [spec.key_head_dim, spec.key_head_dim, values, values])


def _ungrouped(spec: GatedDelta, sizes: Sequence[int]) -> Rows:
    """Return the rows of each part behind those of the last, where groups have rows of all."""
    rows = np.arange(spec.num_key_heads * sum(sizes)).reshape(spec.num_key_heads, -1)
    parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
    return np.concatenate([part.ravel() for part in parts])


def _decay_and_rate(
    graph: GraphBuilder, spec: GatedDelta, weights: Mapping[str, Weight], x: Value
) -> Sequence[Value]:
    """Return the logarithm of what is kept, and how much is learned, by token and value head."""
    both = linear(graph, _rate_decay(spec, weights), x)
    rate, decay = _split(graph, both, [spec.num_value_heads, spec.num_value_heads])
    # Computed when the model is loaded, so that a package holds the checkpoint's own number.
    scale = graph.op("Neg", graph.op("Exp", vector(graph, weights["decay_log"])))
    return graph.ops(
        "LinearAttentionGate",
        [decay, vector(graph, weights["decay_bias"]), scale, rate],
        num_outputs=2,
        domain=MICROSOFT,
        attributes={},
    )


def _rate_decay(spec: GatedDelta, weights: Mapping[str, Weight]) -> Weight:
    match spec.rows:
        case "by_key_head":
            return take_rows(weights["rate_decay"], _ungrouped(spec, [spec.group, spec.group]))
        case "apart":
            return stacked_rows([weights["rate"], weights["decay"]])


def _of_length_one(graph: GraphBuilder, spec: GatedDelta, heads: Value) -> Value:
    """Return x / sqrt(sum(x²) + epsilon) as a norm: its mean is the sum over the head's size."""
    size = spec.key_head_dim
    norm = RmsNorm(epsilon=spec.key_epsilon / size)
    weight = Float(np.full(size, size**-0.5, np.float32))
    return _joined(graph, rms_norm(graph, norm, weight, _heads(graph, heads, size)))


def _heads(graph: GraphBuilder, x: Value, size: int) -> Value:
    return graph.op("Reshape", x, graph.constant(np.array([0, 0, -1, size], np.int64)))


def _joined(graph: GraphBuilder, heads: Value) -> Value:
    return graph.op("Reshape", heads, graph.constant(np.array([0, 0, -1], np.int64)))


def _split(graph: GraphBuilder, x: Value, sizes: Sequence[int]) -> Sequence[Value]:
    parts = graph.constant(np.array(sizes, np.int64))
    return graph.ops("Split", [x, parts], num_outputs=len(sizes), attributes={"axis": -1})
