"""Score the next token: with the whole head, or with a coarse one whose best rows are scored again.

Writing is bound by memory, and of what a token reads the head of a large vocabulary is the largest
part: 136 of 336 MB in 8 bits for a model of half a billion parameters. Four bits are enough to say
which few tokens can be the likeliest. Those few are scored again from their rows in 8 bits, in
float32, which is more exact than the operator that multiplies the whole head; all others keep their
coarse scores, so every token has one. What that changes: `python -m benchmarks.head`.
"""

from typing import Final

import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.graph.layers.embedding import Table
from export.graph.layers.linear import linear
from export.quantization.blockwise import Quantized

NUM_SCORED_AGAIN: Final = 16
"""The likeliest token of the exact product was among the first 9 of the coarse one, at each of
19,680 places (docs/quantization.md)."""

_LAST: Final = np.array([2], np.int64)


def refined_head(
    graph: GraphBuilder,
    coarse: Quantized,
    exact: Table,
    x: Value,
    *,
    num_scored_again: int = NUM_SCORED_AGAIN,
) -> Value:
    """Return scores [rows, vocab_size] of x, [rows, hidden_size]."""
    scores = linear(graph, coarse, x)
    number = graph.constant(np.array([min(num_scored_again, coarse.shape[0])], np.int64))
    _, best = graph.ops(
        "TopK", [scores, number], num_outputs=2, attributes={"axis": -1, "sorted": 0}
    )
    rows = exact.rows(best)  # [rows, number, hidden_size]
    axis = graph.constant(_LAST)
    products = graph.op("MatMul", rows, graph.op("Unsqueeze", x, axis))
    refined = graph.op("Squeeze", products, axis)
    return graph.op("ScatterElements", scores, best, refined, axis=1)
