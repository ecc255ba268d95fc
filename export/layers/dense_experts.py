"""A mixture of experts in which every expert computes, and the weights of most are zero.

    x ─► all gates | all ups ─► activation(gate) * up * weight ─► all downs beside each other

Two products for all experts: right for any activation, and num_experts / num_experts_per_tok times
the work. MoE and QMoE gate by the sigmoid alone (`swiglu`) on CPU (onnxruntime 1.31), so families
with another gate come here.
"""

from collections.abc import Mapping

import numpy as np

from export.graph import GraphBuilder, Value
from export.layers.elementwise import activated
from export.layers.linear import linear, stacked_rows
from export.layers.routing import expert_weights
from export.quantization.blockwise import (
    Float,
    Quantized,
    Weight,
    concatenate_columns,
    concatenate_rows,
)
from export.spec import ClampedSwiglu, SparseMoE


def dense_experts(
    graph: GraphBuilder, spec: SparseMoE, weights: Mapping[str, Weight], x: Value
) -> Value:
    """Return the weighted sum of the chosen experts, [batch, sequence, hidden_size]."""
    assert not isinstance(spec.activation, ClampedSwiglu)
    logits = linear(graph, weights["router"], x)
    matrices = stacked_rows([_below_each_other(weights[name]) for name in ("gate", "up")])
    gate, up = graph.ops(
        "Split",
        [linear(graph, matrices, x)],
        num_outputs=2,
        attributes={"axis": -1, "num_outputs": 2},
    )
    gated = graph.op("Mul", activated(graph, spec.activation, gate), up)
    weighted = _weighted(graph, spec, gated, expert_weights(graph, spec.router, logits))
    return linear(graph, _beside_each_other(weights["down"]), weighted)


def _weighted(graph: GraphBuilder, spec: SparseMoE, gated: Value, weights: Value) -> Value:
    """Multiply what each expert computed, [..., num_experts * size], by its weight."""
    per_expert = np.array([0, 0, spec.num_experts, spec.moe_intermediate_size], np.int64)
    split = graph.op("Reshape", gated, graph.constant(per_expert))
    last_axis = graph.constant(np.array([-1], np.int64))
    weighted = graph.op("Mul", split, graph.op("Unsqueeze", weights, last_axis))
    return graph.op("Reshape", weighted, graph.constant(np.array([0, 0, -1], np.int64)))


def _below_each_other(weight: Weight) -> Weight:
    """Return [num_experts, rows, columns] as one matrix [num_experts * rows, columns]."""
    match weight:
        case Float(values):
            return Float(values.reshape(-1, values.shape[-1]))
        case Quantized():
            return concatenate_rows(weight.experts())


def _beside_each_other(weight: Weight) -> Weight:
    """Return [num_experts, rows, columns] as one matrix [rows, num_experts * columns]."""
    match weight:
        case Float(values):
            return Float(np.concatenate(list(values), axis=-1))
        case Quantized():
            return concatenate_columns(weight.experts())
