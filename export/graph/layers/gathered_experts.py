"""A mixture of experts computed one expert after the other, each on the tokens that chose it.

    x ─► rows that chose it ─► gate | up ─► activation(gate) * up * weight ─► down ─► added to them

Right for any activation, and for experts without a gate, activation(up) * weight. MoE and QMoE gate
by the sigmoid alone (`swiglu`) on CPU, and refuse a third matrix that would gate otherwise; relu²
is none of their activations (onnxruntime 1.31). Families with other experts come here.

With 2 of 8 experts a token this takes a half to a quarter of the time of computing all of them and
weighing most by zero, and as much where a single token meets tiny experts (measured).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.graph.layers.elementwise import activated, scaled
from export.graph.layers.linear import linear, stacked_rows
from export.quantization.blockwise import Float, Quantized, Weight
from export.spec.decoder import Activation, ClampedSwiglu, SparseMoE


def gathered_experts(
    graph: GraphBuilder, spec: SparseMoE, weights: Mapping[str, Weight], x: Value, of_all: Value
) -> Value:
    """Return the weighted sum of the chosen experts, [batch, sequence, hidden_size].

    `of_all` are the weights of all experts, float32, zero where they are not chosen.
    """
    assert not isinstance(spec.activation, ClampedSwiglu)
    weights_of_all = graph.converted(of_all, np.float32)
    own = _weights_of_experts(graph, spec, weights_of_all)
    *first, last = (_experts(weights[name]) for name in spec.matrices)
    tokens = graph.op("Flatten", x, axis=-1)
    mixed = scaled(graph, tokens, 0.0)
    for weight, matrices, down in zip(own, zip(*first, strict=True), last, strict=True):
        rows = graph.op("Transpose", graph.op("NonZero", weight), perm=[1, 0])
        chosen = _inner(graph, spec.activation, matrices, graph.op("GatherND", tokens, rows))
        column = graph.op("Unsqueeze", graph.op("GatherND", weight, rows), _integers(graph, -1))
        out = linear(graph, down, graph.op("Mul", chosen, column))
        mixed = graph.op("ScatterND", mixed, rows, out, reduction="add")
    return graph.op("Reshape", mixed, graph.op("Shape", x))


def _weights_of_experts(graph: GraphBuilder, spec: SparseMoE, weights: Value) -> Sequence[Value]:
    """Return the weight that each token gives to an expert, [batch * sequence], by expert."""
    rows = graph.op("Reshape", weights, _integers(graph, -1, spec.num_experts))
    columns = graph.ops(
        "Split",
        [rows],
        num_outputs=spec.num_experts,
        attributes={"axis": -1, "num_outputs": spec.num_experts},
    )
    return [graph.op("Reshape", column, _integers(graph, -1)) for column in columns]


def _experts(weight: Weight) -> Sequence[Weight]:
    match weight:
        case Float(values):
            return [Float(matrix) for matrix in values]
        case Quantized():
            return weight.experts()


def _inner(
    graph: GraphBuilder, activation: Activation, matrices: Sequence[Weight], x: Value
) -> Value:
    """Return what down is given; `matrices` are up alone, or gate and up."""
    if len(matrices) == 1:
        return activated(graph, activation, linear(graph, matrices[0], x))
    gate, up = graph.ops(
        "Split",
        [linear(graph, stacked_rows(matrices), x)],
        num_outputs=2,
        attributes={"axis": -1, "num_outputs": 2},
    )
    return graph.op("Mul", activated(graph, activation, gate), up)


def _integers(graph: GraphBuilder, *numbers: int) -> Value:
    return graph.constant(np.array(numbers, np.int64))
