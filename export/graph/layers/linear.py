"""Multiply by a matrix [out, in], rounded or not; the type of the weight decides how."""

from collections.abc import Sequence

import numpy as np

from export.graph.builder import MICROSOFT, GraphBuilder, Value
from export.quantization.blockwise import Float, Quantized, Weight, concatenate_rows


def linear(graph: GraphBuilder, weight: Weight, x: Value, bias: Weight | None = None) -> Value:
    """Return x @ weight.T + bias, [..., out]."""
    product = _product(graph, weight, x)
    return product if bias is None else add_bias(graph, product, bias)


def exact_linear(
    graph: GraphBuilder, weight: Weight, x: Value, bias: Weight | None = None
) -> Value:
    """Return the same in float32, whatever the type of activations; for weights not rounded."""
    product = float_matmul(graph, exact_vector(graph, weight), graph.widened(x))
    return product if bias is None else add_exact_bias(graph, product, bias)


def add_exact_bias(graph: GraphBuilder, x: Value, bias: Weight) -> Value:
    """Return x + bias in float32."""
    return graph.op("Add", x, exact_vector(graph, bias))


def exact_vector(graph: GraphBuilder, weight: Weight) -> Value:
    """Add a weight that is never rounded, in float32 whatever the type of activations."""
    assert isinstance(weight, Float)
    return graph.weight(weight.values)


def add_bias(graph: GraphBuilder, x: Value, bias: Weight) -> Value:
    """Return x + bias, [..., out]."""
    return graph.op("Add", x, vector(graph, bias))


def vector(graph: GraphBuilder, weight: Weight) -> Value:
    """Add a bias or the like, which is never rounded."""
    assert isinstance(weight, Float)
    return graph.floats(weight.values)


def _product(graph: GraphBuilder, weight: Weight, x: Value) -> Value:
    match weight:
        case Float(values):
            return float_matmul(graph, graph.floats(values), x)
        case Quantized():
            data = graph.weight(weight.data.reshape(weight.block_shape))
            return quantized_matmul(graph, weight, data, graph.floats(weight.scales), x)


def float_matmul(graph: GraphBuilder, matrix: Value, x: Value) -> Value:
    """Multiply by a matrix in the checkpoint's own layout; the runtime packs it at load anyway."""
    return graph.op("FusedMatMul", x, matrix, domain=MICROSOFT, transB=1)


def quantized_matmul(
    graph: GraphBuilder, weight: Quantized, data: Value, scales: Value, x: Value
) -> Value:
    """Multiply by a rounded matrix whose bytes, `weight.block_shape`, are in the graph already."""
    rows, columns = weight.shape
    zero_points = [] if weight.zero_points is None else [graph.weight(weight.zero_points)]
    return graph.op(
        "MatMulNBits",
        x,
        data,
        scales,
        *zero_points,
        domain=MICROSOFT,
        K=columns,
        N=rows,
        bits=weight.bits,
        block_size=weight.block_size,
        **graph.target.rounded,
    )


def stacked_rows(weights: Sequence[Weight]) -> Weight:
    """Put matrices of one scheme below each other, so that one product computes them all."""
    rounded = [weight for weight in weights if isinstance(weight, Quantized)]
    if rounded:
        assert len(rounded) == len(weights)
        return concatenate_rows(rounded)
    return Float(
        np.concatenate([weight.values for weight in weights if isinstance(weight, Float)], axis=-2)
    )
