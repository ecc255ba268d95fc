"""Where tokens stand in the whole text, for what looks that up by itself."""

import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.spec.attention import QueryScale, query_scales


def positions(graph: GraphBuilder, input_ids: Value, seqlens_k: Value) -> Value:
    """Return the places of the run's tokens, [batch, sequence], counted from the text's start.

    `seqlens_k`, [batch], is the place of the last one.
    """
    one = graph.constant(np.array(1, np.int64))
    length = graph.op("Squeeze", graph.op("Shape", input_ids, start=1, end=2))
    behind_the_last = graph.op("Range", graph.op("Sub", one, length), one, one)
    last = graph.op("Unsqueeze", graph.cast(seqlens_k, np.int64), _axes(graph, 1))
    return graph.op("Add", last, behind_the_last)


def query_sizes(
    graph: GraphBuilder, scale: QueryScale, places: Value, context_length: int
) -> Value:
    """Return what the queries at some places are multiplied by, [batch, sequence, 1]."""
    sizes = graph.floats(query_scales(scale, context_length).astype(np.float32))
    return graph.op("Unsqueeze", graph.op("Gather", sizes, places, axis=0), _axes(graph, -1))


def _axes(graph: GraphBuilder, *numbers: int) -> Value:
    return graph.constant(np.array(numbers, np.int64))
