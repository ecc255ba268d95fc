"""The gated feed-forward part of a dense layer, or of every layer: down(silu(gate(x)) * up(x))."""

from collections.abc import Mapping

from export.graph import GraphBuilder, Value
from export.layers.linear import linear, stacked_rows
from export.quantization.blockwise import Weight
from export.spec import SharedExpert


def mlp(graph: GraphBuilder, weights: Mapping[str, Weight], x: Value) -> Value:
    """Return [batch, sequence, hidden_size]."""
    packed = linear(graph, stacked_rows([weights["gate"], weights["up"]]), x)
    gate, up = graph.ops(
        "Split", [packed], num_outputs=2, attributes={"axis": -1, "num_outputs": 2}
    )
    silu = graph.op("Mul", gate, graph.op("Sigmoid", gate))
    return linear(graph, weights["down"], graph.op("Mul", silu, up))


def shared_expert(
    graph: GraphBuilder, spec: SharedExpert, weights: Mapping[str, Weight], x: Value
) -> Value:
    """Return what every token gets beside its chosen experts, [batch, sequence, hidden_size]."""
    out = mlp(graph, weights, x)
    if spec.gate == "none":
        return out
    return graph.op("Mul", out, graph.op("Sigmoid", linear(graph, weights["router"], x)))
