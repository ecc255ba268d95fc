"""The feed-forward part of a dense layer, and what every token gets beside its chosen experts."""

from collections.abc import Mapping

from export.graph.builder import GraphBuilder, Value
from export.graph.layers.elementwise import activated
from export.graph.layers.linear import linear, stacked_rows
from export.quantization.blockwise import Weight
from export.spec.decoder import Activation, ClampedSwiglu, SparseMoE, Ungated


def mlp(
    graph: GraphBuilder, activation: Activation, weights: Mapping[str, Weight], x: Value
) -> Value:
    """Return down(activation(gate(x)) * up(x)), [batch, sequence, hidden_size]."""
    packed = linear(graph, stacked_rows([weights["gate"], weights["up"]]), x)
    gate, up = graph.ops(
        "Split", [packed], num_outputs=2, attributes={"axis": -1, "num_outputs": 2}
    )
    gated = graph.op("Mul", activated(graph, activation, gate), up)
    return linear(graph, weights["down"], gated)


def ungated_mlp(
    graph: GraphBuilder, spec: Ungated, weights: Mapping[str, Weight], x: Value
) -> Value:
    """Return down(activation(up(x))), [batch, sequence, hidden_size]."""
    up = linear(graph, weights["up"], x, weights.get("up_bias"))
    active = activated(graph, spec.activation, up)
    return linear(graph, weights["down"], active, weights.get("down_bias"))


def shared_expert(
    graph: GraphBuilder, spec: SparseMoE, weights: Mapping[str, Weight], x: Value
) -> Value:
    """Return what every token gets beside its chosen experts, [batch, sequence, hidden_size]."""
    assert spec.shared is not None
    assert not isinstance(spec.activation, ClampedSwiglu)
    if spec.gated:
        out = mlp(graph, spec.activation, weights, x)
    else:
        size = spec.shared.intermediate_size
        ungated = Ungated(intermediate_size=size, activation=spec.activation, bias=False)
        out = ungated_mlp(graph, ungated, weights, x)
    if spec.shared.gate == "none":
        return out
    return graph.op("Mul", out, graph.op("Sigmoid", linear(graph, weights["router"], x)))
