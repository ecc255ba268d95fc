"""Look tokens up in the embedding, which may score them in the end as well.

Tied weights lie in the data file once: lookup and head read the same bytes under two shapes.
"""

from collections.abc import Callable

import numpy as np

from export.graph.builder import MICROSOFT, GraphBuilder, Value
from export.graph.layers.linear import float_matmul, quantized_matmul
from export.quantization.blockwise import Float, Quantized, Weight, pack

TiedHead = Callable[[Value], Value]


def embedding(graph: GraphBuilder, weight: Weight, token_ids: Value) -> tuple[Value, TiedHead]:
    """Return rows, [batch, sequence, hidden_size], and a head that has the same weight."""
    match weight:
        case Float(values):
            stored = graph.narrowed(values)
            table = graph.weight(stored)
            rows = graph.op("Gather", table, token_ids, axis=0)

            def tied_head(x: Value) -> Value:
                return float_matmul(graph, graph.converted(table, stored.dtype), x)

            return graph.converted(rows, stored.dtype), tied_head
        case Quantized():
            return _quantized(graph, weight, token_ids)


def wanted_rows(graph: GraphBuilder, x: Value, logit_rows: Value, hidden_size: int) -> Value:
    """Return the rows of [batch * sequence, hidden_size] whose logits are wanted."""
    flat = graph.op("Reshape", x, graph.constant(np.array([-1, hidden_size], np.int64)))
    return graph.op("Gather", flat, logit_rows, axis=0)


def _quantized(graph: GraphBuilder, weight: Quantized, token_ids: Value) -> tuple[Value, TiedHead]:
    table, scales = graph.weight(weight.data), graph.floats(weight.scales)
    rows = graph.op(
        "GatherBlockQuantized",
        table,
        token_ids,
        scales,
        *_middle(graph, weight),
        domain=MICROSOFT,
        bits=weight.bits,
        block_size=weight.block_size,
        gather_axis=0,
        quantize_axis=1,
    )

    def tied_head(x: Value) -> Value:
        data = graph.reshaped_weight(table, weight.block_shape)
        return quantized_matmul(graph, weight, data, scales, x)

    return rows, tied_head


def _middle(graph: GraphBuilder, weight: Quantized) -> list[Value]:
    """Return the zero points of all blocks where they have to be stated."""
    assert weight.zero_points is None or not graph.target.states_the_middle
    if not graph.target.states_the_middle:
        return []
    middle = np.full(weight.scales.shape, 2 ** (weight.bits - 1), np.uint8)
    return [graph.weight(pack(middle, bits=weight.bits))]
