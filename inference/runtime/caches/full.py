"""Layers that see every token: their keys and values, appended in place.

Going back is lowering a length: what lies behind it is overwritten by the next run and never read.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from inference.package.manifest import Architecture
from inference.runtime.caches.layer_cache import Array, key_value_bytes, key_value_shape


class FullLayers:
    """Keys and values, [1, heads, capacity, head_dim] each, one pair per layer."""

    is_moving = False

    def __init__(self, architecture: Architecture, layers: Sequence[int], capacity: int) -> None:
        self.past: Mapping[str, Array] = {
            f"{name}.{layer}": np.zeros(
                (1, *key_value_shape(architecture, layer, capacity)), np.float32
            )
            for layer in layers
            for name in ("key", "value")
        }
        self._seqlens = np.zeros(1, np.int32)
        self._total = np.zeros((), np.int32)

    @staticmethod
    def num_bytes(architecture: Architecture, layers: Sequence[int], capacity: int) -> int:
        return key_value_bytes(architecture, layers, capacity)

    @property
    def present(self) -> Mapping[str, Array]:
        return self.past

    def inputs(self, num_tokens: int) -> Mapping[str, Array]:
        return {"seqlens_k": self._seqlens, "total_sequence_length": self._total}

    def prepare(self, length: int, num_tokens: int) -> None:
        self._total[...] = length + num_tokens
        self._seqlens[0] = length + num_tokens - 1

    def rewind(self, length: int) -> int:
        return length
