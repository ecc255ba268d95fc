"""What a session keeps of the tokens it read: one LayerCache for all layers of one kind.

A kind is a struct in the manifest (what a package says of a layer), a module here (what is kept,
and how it goes back) and its line in KINDS. The graph's inputs of a kind carry its own names.
Nothing here knows onnxruntime: arrays are numpy's, and onnx.py binds them.
"""

from typing import Final

import numpy as np

from inference.package.manifest import Architecture, Full, Recurrent, Windowed
from inference.runtime.caches.full import FullLayers
from inference.runtime.caches.layer_cache import LayerCache
from inference.runtime.caches.recurrent import RecurrentLayers
from inference.runtime.caches.windowed import WindowedLayers

KINDS: Final = ((Recurrent, RecurrentLayers), (Windowed, WindowedLayers), (Full, FullLayers))
"""Kinds that cannot go back to every length come first, see LayerCache.rewind."""


def create_caches(architecture: Architecture, capacity: int) -> tuple[LayerCache, ...]:
    """Return an empty cache of `capacity` tokens for each kind that some layer is of."""
    return tuple(
        layer_cache(architecture, layers, capacity)
        for kind, layer_cache in KINDS
        if (layers := _layers_of(kind, architecture))
    )


def num_cache_bytes(architecture: Architecture, capacity: int) -> int:
    """Return what `create_caches` allocates, and what is kept for the predictor and by it."""
    num_bytes = sum(
        layer_cache.num_bytes(architecture, layers, capacity)
        for kind, layer_cache in KINDS
        if (layers := _layers_of(kind, architecture))
    )
    if architecture.predictor is None:
        return num_bytes
    hidden = capacity * architecture.hidden_size * np.float32().nbytes
    return num_bytes + hidden + num_cache_bytes(architecture.of_predictor(), capacity)


def _layers_of(kind: type, architecture: Architecture) -> list[int]:
    return [
        index for index, found in enumerate(architecture.kinds_of_layers) if isinstance(found, kind)
    ]
