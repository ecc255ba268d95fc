"""Functions of single numbers: activations, scales and caps."""

import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.spec.decoder import Activation


def activated(graph: GraphBuilder, activation: Activation, x: Value) -> Value:
    match activation:
        case "silu":
            return graph.op("Mul", x, graph.op("Sigmoid", x))
        case "gelu":
            return graph.op("Gelu", x)
        case "gelu_tanh":
            return graph.op("Gelu", x, approximate="tanh")
        case "relu2":
            positive = graph.op("Relu", x)
            return graph.op("Mul", positive, positive)


def scaled(graph: GraphBuilder, x: Value, scale: float) -> Value:
    """Return x * scale, x itself where the scale is one. x is of the activations' type."""
    return x if scale == 1.0 else graph.op("Mul", x, graph.number(scale))


def scaled_exactly(graph: GraphBuilder, x: Value, scale: float) -> Value:
    """Return x * scale for an x that is float32 whatever the activations are."""
    return x if scale == 1.0 else graph.op("Mul", x, _number(graph, scale))


def capped(graph: GraphBuilder, x: Value, softcap: float | None) -> Value:
    """Return softcap * tanh(x / softcap), x itself where there is no softcap; x is float32."""
    if softcap is None:
        return x
    cap = _number(graph, softcap)
    return graph.op("Mul", graph.op("Tanh", graph.op("Div", x, cap)), cap)


def _number(graph: GraphBuilder, number: float) -> Value:
    return graph.constant(np.array(number, np.float32))
