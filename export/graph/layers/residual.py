"""The stream that every layer adds to, with the last sum left open for the next norm to close.

Sum and norm are one operator then, which saves a pass over the hidden state.
"""

from collections.abc import Mapping

import msgspec

from export.graph.builder import GraphBuilder, Value
from export.graph.layers.elementwise import scaled
from export.graph.layers.norm import add_and_normalize, normalize
from export.quantization.blockwise import Weight
from export.spec.decoder import Layer, Norm


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """The stream is `total`, plus `pending` where something was added since the last norm."""

    total: Value
    pending: Value | None = None

    def plus(self, x: Value) -> "Stream":
        """Add what a part of a layer computed from the stream's norm."""
        assert self.pending is None
        return Stream(total=self.total, pending=x)

    def times(self, graph: GraphBuilder, scale: Value) -> "Stream":
        """Multiply all of the stream."""
        total = self.total
        if self.pending is not None:
            total = graph.op("Add", total, self.pending)
        return Stream(total=graph.op("Mul", total, scale))


def normalized(
    graph: GraphBuilder, norm: Norm, weights: Mapping[str, Weight], name: str, stream: Stream
) -> tuple[Value, Stream]:
    """Return the stream's norm, and the stream with nothing pending."""
    if stream.pending is None:
        return normalize(graph, norm, weights, name, stream.total), stream
    addends = (stream.pending, stream.total)
    normed, total = add_and_normalize(graph, norm, weights, name, addends)
    return normed, Stream(total=total)


def incoming(
    graph: GraphBuilder, layer: Layer, weights: Mapping[str, Weight], name: str, stream: Stream
) -> tuple[Value, Stream]:
    """Return what a part is given, and the stream with nothing pending; `name` is its norm's."""
    if layer.residual.has_inner_norm:
        return normalized(graph, layer.norm, weights, name, stream)
    if stream.pending is None:
        return stream.total, stream
    total = graph.op("Add", stream.total, stream.pending)
    return total, Stream(total=total)


def outgoing(
    graph: GraphBuilder, layer: Layer, weights: Mapping[str, Weight], name: str, x: Value
) -> Value:
    """Return what a part's result adds to the stream; `name` is that of its second norm."""
    if layer.residual.has_outer_norm:
        x = normalize(graph, layer.norm, weights, name, x)
    return scaled(graph, x, layer.residual.scale)
