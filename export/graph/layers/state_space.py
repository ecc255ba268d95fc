"""Layers that keep a state by Mamba 2's rule: two stateful operators between projections.

    x ─► value|key|query ─► CausalConvWithState ─► silu ─► LinearAttention ─► + value ─► * ─► norm
    x ─► step ─► softplus ─► * value, * decay ─────────────────┘                         │
    x ─► gate ─► silu ───────────────────────────────────────────────────────────────────┘

The operator learns without a delta here (`gated`), and its scale is one.
"""

from collections.abc import Mapping

import numpy as np

from export.graph.builder import MICROSOFT, GraphBuilder, Value
from export.graph.layers.elementwise import activated
from export.graph.layers.linear import add_bias, linear, vector
from export.graph.layers.norm import rms_norm
from export.graph.layers.short_convolution import States, causal_convolution
from export.quantization.blockwise import Float, Weight
from export.spec.norms import RmsNorm
from export.spec.recurrence import StateSpace


def state_space(
    graph: GraphBuilder, spec: StateSpace, weights: Mapping[str, Weight], x: Value, past: States
) -> tuple[Value, States]:
    """Return what the layer adds, [batch, sequence, hidden_size], and the states after it."""
    assert past.recurrent is not None
    mixed, convolution = causal_convolution(
        graph,
        weights["convolution"],
        linear(graph, weights["value_key_query"], x),
        past.convolution,
        weights.get("convolution_bias"),
    )
    sizes = np.array([spec.value_size, spec.key_size, spec.key_size], np.int64)
    value, key, query = graph.ops(
        "Split",
        [activated(graph, "silu", mixed), graph.constant(sizes)],
        num_outputs=3,
        attributes={"axis": -1},
    )
    length = graph.op(
        "Softplus", add_bias(graph, linear(graph, weights["step"], x), weights["step_bias"])
    )
    # Computed when the model is loaded, so that a package holds the checkpoint's own number.
    decay = graph.op("Neg", graph.op("Exp", vector(graph, weights["decay_log"])))
    heads = _heads(graph, value, spec.value_head_dim)
    read, recurrent = graph.ops(
        "LinearAttention",
        [
            *(query, key, _joined(graph, graph.op("Mul", heads, _column(graph, length)))),
            *(past.recurrent, graph.op("Mul", length, decay)),
        ],
        num_outputs=2,
        domain=MICROSOFT,
        attributes={
            "q_num_heads": spec.num_key_heads,
            "kv_num_heads": spec.num_value_heads,
            "update_rule": "gated",
            "scale": 1.0,
        },
    )
    own = graph.op("Mul", heads, _column(graph, vector(graph, weights["value_scale"])))
    read = graph.op("Add", read, _joined(graph, own))
    normed = _gated_norm(graph, spec, weights, x, read)
    states = States(convolution=convolution, recurrent=recurrent)
    return linear(graph, weights["state_output"], normed), states


def _gated_norm(
    graph: GraphBuilder, spec: StateSpace, weights: Mapping[str, Weight], x: Value, read: Value
) -> Value:
    gate = activated(graph, "silu", linear(graph, weights["gate"], x))
    size = spec.value_size // spec.num_key_heads
    ones = Float(np.ones(size, np.float32))
    grouped = _heads(graph, graph.op("Mul", read, gate), size)
    normed = rms_norm(graph, RmsNorm(epsilon=spec.norm_epsilon), ones, grouped)
    return graph.op("Mul", _joined(graph, normed), vector(graph, weights["state_norm"]))


def _column(graph: GraphBuilder, x: Value) -> Value:
    """Return [..., heads, 1]."""
    return graph.op("Unsqueeze", x, graph.constant(np.array([-1], np.int64)))


def _heads(graph: GraphBuilder, x: Value, size: int) -> Value:
    return graph.op("Reshape", x, graph.constant(np.array([0, 0, -1, size], np.int64)))


def _joined(graph: GraphBuilder, heads: Value) -> Value:
    return graph.op("Reshape", heads, graph.constant(np.array([0, 0, -1], np.int64)))
