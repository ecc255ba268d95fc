"""Look tokens up in a table, [vocab_size, hidden_size], that may score them in the end as well.

Tied weights lie in the data file once: lookup and head read the same bytes under two shapes.
"""

from typing import Protocol

import msgspec
import numpy as np

from export.graph.builder import MICROSOFT, GraphBuilder, Value
from export.graph.layers.linear import float_matmul, quantized_matmul
from export.quantization.blockwise import Float, Quantized, Weight, pack


class Table(Protocol):
    """A matrix of the graph whose rows are tokens'."""

    def rows(self, token_ids: Value) -> Value:
        """Return the rows of tokens, [*token_ids.shape, hidden_size]."""
        ...

    def product(self, x: Value) -> Value:
        """Return x @ table.T, [..., vocab_size]."""
        ...


def table(graph: GraphBuilder, weight: Weight) -> Table:
    """Write a matrix to the data file."""
    match weight:
        case Float(values):
            stored = graph.narrowed(values)
            return _FloatTable(graph, graph.weight(stored), stored.dtype)
        case Quantized():
            data, scales = graph.weight(weight.data), graph.floats(weight.scales)
            return _RoundedTable(graph, weight, data, scales)


def wanted_rows(graph: GraphBuilder, x: Value, logit_rows: Value, hidden_size: int) -> Value:
    """Return the rows of [batch * sequence, hidden_size] whose logits are wanted."""
    flat = graph.op("Reshape", x, graph.constant(np.array([-1, hidden_size], np.int64)))
    return graph.op("Gather", flat, logit_rows, axis=0)


class _FloatTable(msgspec.Struct, frozen=True):
    graph: GraphBuilder
    values: Value
    dtype: np.dtype[np.generic]

    def rows(self, token_ids: Value) -> Value:
        found = self.graph.op("Gather", self.values, token_ids, axis=0)
        return self.graph.converted(found, self.dtype)

    def product(self, x: Value) -> Value:
        return float_matmul(self.graph, self.graph.converted(self.values, self.dtype), x)


class _RoundedTable(msgspec.Struct, frozen=True):
    graph: GraphBuilder
    weight: Quantized
    data: Value
    scales: Value

    def rows(self, token_ids: Value) -> Value:
        return self.graph.op(
            "GatherBlockQuantized",
            self.data,
            token_ids,
            self.scales,
            *self._middle(),
            domain=MICROSOFT,
            bits=self.weight.bits,
            block_size=self.weight.block_size,
            gather_axis=0,
            quantize_axis=1,
        )

    def product(self, x: Value) -> Value:
        data = self.graph.reshaped_weight(self.data, self.weight.block_shape)
        return quantized_matmul(self.graph, self.weight, data, self.scales, x)

    def _middle(self) -> list[Value]:
        """Return the zero points of all blocks where they have to be stated."""
        states_the_middle = self.graph.target.states_the_middle
        assert self.weight.zero_points is None or not states_the_middle
        if not states_the_middle:
            return []
        middle = np.full(self.weight.scales.shape, 2 ** (self.weight.bits - 1), np.uint8)
        return [self.graph.weight(pack(middle, bits=self.weight.bits))]
