"""Normalize by the root of the mean square, alone or together with the residual sum before it."""

from export.graph import MICROSOFT, GraphBuilder, Value
from export.quantization.blockwise import Float, Weight
from export.spec import RmsNorm


def rms_norm(graph: GraphBuilder, norm: RmsNorm, weight: Weight, x: Value) -> Value:
    """Normalize the last axis."""
    return graph.op(
        "SimplifiedLayerNormalization",
        x,
        _scale(graph, weight),
        axis=-1,
        epsilon=norm.epsilon,
        stash_type=1,
    )


def add_rms_norm(
    graph: GraphBuilder, norm: RmsNorm, weight: Weight, x: Value, residual: Value
) -> tuple[Value, Value]:
    """Return the normalized sum of `x` and `residual`, and the sum itself."""
    outputs = graph.ops(
        "SkipSimplifiedLayerNormalization",
        [x, residual, _scale(graph, weight)],
        num_outputs=4,
        domain=MICROSOFT,
        attributes={"epsilon": norm.epsilon},
    )
    # The second and third are statistics that only training reads.
    outputs[1].name, outputs[2].name = "", ""
    return outputs[0], outputs[3]


def _scale(graph: GraphBuilder, weight: Weight) -> Value:
    assert isinstance(weight, Float)
    return graph.weight(weight.values)
