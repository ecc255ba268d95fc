"""Normalize the last axis, alone or together with the residual sum before it."""

from collections.abc import Mapping

import numpy as np

from export.graph.builder import MICROSOFT, GraphBuilder, Value
from export.quantization.blockwise import Float, Weight
from export.spec.decoder import LayerNorm, Norm, RmsNorm


def normalize(
    graph: GraphBuilder, norm: Norm, weights: Mapping[str, Weight], name: str, x: Value
) -> Value:
    """Normalize with the weights called `name`."""
    match norm:
        case RmsNorm():
            return rms_norm(graph, norm, weights[name], x)
        case LayerNorm(epsilon=epsilon):
            scale, bias = _values(graph, weights[name]), _values(graph, weights[f"{name}_bias"])
            return graph.op(
                "LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon, stash_type=1
            )


def add_and_normalize(
    graph: GraphBuilder,
    norm: Norm,
    weights: Mapping[str, Weight],
    name: str,
    addends: tuple[Value, Value],
) -> tuple[Value, Value]:
    """Return the normalized sum of two values, and the sum itself."""
    match norm:
        case RmsNorm():
            op_type = "SkipSimplifiedLayerNormalization"
            parameters = [rms_scale(graph, norm, weights[name])]
        case LayerNorm():
            op_type = "SkipLayerNormalization"
            parameters = [_values(graph, weights[part]) for part in (name, f"{name}_bias")]
    outputs = graph.ops(
        op_type,
        [*addends, *parameters],
        num_outputs=4,
        domain=MICROSOFT,
        attributes={"epsilon": norm.epsilon},
    )
    # The second and third are statistics that only training reads.
    outputs[1].name, outputs[2].name = "", ""
    return outputs[0], outputs[3]


def rms_norm(graph: GraphBuilder, norm: RmsNorm, weight: Weight, x: Value) -> Value:
    return graph.op(
        "SimplifiedLayerNormalization",
        x,
        rms_scale(graph, norm, weight),
        axis=-1,
        epsilon=norm.epsilon,
        stash_type=1,
    )


def rms_scale(graph: GraphBuilder, norm: RmsNorm, weight: Weight) -> Value:
    """Return what the operators multiply by."""
    assert isinstance(weight, Float)
    return graph.floats(weight.values + np.float32(norm.offset))


def _values(graph: GraphBuilder, weight: Weight) -> Value:
    assert isinstance(weight, Float)
    return graph.floats(weight.values)
