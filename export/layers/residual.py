"""The stream that every layer adds to, with the last sum left open for the next norm to close.

Sum and norm are one operator then, which saves a pass over the hidden state.
"""

import msgspec

from export.graph import GraphBuilder, Value
from export.layers.norm import add_rms_norm, rms_norm
from export.quantization.blockwise import Weight
from export.spec import RmsNorm


class Residual(msgspec.Struct, frozen=True, kw_only=True):
    """The stream is `total`, plus `pending` where something was added since the last norm."""

    total: Value
    pending: Value | None = None

    def plus(self, x: Value) -> "Residual":
        """Add what a part of a layer computed from the stream's norm."""
        assert self.pending is None
        return Residual(total=self.total, pending=x)


def normalized(
    graph: GraphBuilder, norm: RmsNorm, weight: Weight, stream: Residual
) -> tuple[Value, Residual]:
    """Return the stream's norm, and the stream with nothing pending."""
    if stream.pending is None:
        return rms_norm(graph, norm, weight, stream.total), stream
    normed, total = add_rms_norm(graph, norm, weight, stream.pending, stream.total)
    return normed, Residual(total=total)
