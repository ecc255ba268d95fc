"""Layers that see the last tokens only: attention reads a short buffer, an archive keeps the rest.

    archive   tokens 0 ............................ archived      grows when the buffer slides
    buffer                          start ............. length    all that attention reads

The operator looks at every token of its buffer and masks those outside the window afterwards
(onnxruntime 1.31 on CPU), so a short buffer is what makes the cost of a step flat. New tokens are
appended to it in place; when it holds an eighth of a window too many it slides: what is new goes to
the archive, and the tokens that the next one sees come back from it. A step between two slides
costs nothing more than in a layer that sees every token.

Going back before the buffer's start slides it back, so it is exact, whatever the length. A failed
run wrote behind `length` only, so it left nothing behind.

The operator counts from the buffer's start, but rotates by `position_ids`, which count from the
first token; keys in the cache are rotated already.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from inference.package.manifest import Architecture, Windowed
from inference.runtime.caches.layer_cache import Array, key_value_bytes, key_value_shape
from inference.runtime.language_model import MAX_RUN_TOKENS

SLIDES_PER_WINDOW: Final = 8
"""More slides copy more often; fewer have attention read more tokens that the mask hides."""


class WindowedLayers:
    """Keys and values of all windowed layers; the widest window decides for all of them.

    Buffer and archive are [layers, 2, heads, tokens, head_dim], so that to slide is two copies.
    Tokens before `_archived` are in the archive, those from `_start` in the buffer.
    """

    is_moving = False

    def __init__(self, architecture: Architecture, layers: Sequence[int], capacity: int) -> None:
        room = _Room(architecture, capacity)
        self._kept, self._step = room.kept, room.step
        pairs = (len(layers), 2)
        self._buffer = np.zeros(
            (*pairs, *key_value_shape(architecture, layers[0], room.num_buffered)), np.float32
        )
        self._archive = np.zeros(
            (*pairs, *key_value_shape(architecture, layers[0], room.num_archived)), np.float32
        )
        self._start = 0
        self._archived = 0
        self.past: Mapping[str, Array] = {
            f"{name}.{layer}": self._buffer[index, which : which + 1]
            for index, layer in enumerate(layers)
            for which, name in enumerate(("key", "value"))
        }
        self._seqlens = np.zeros(1, np.int32)
        self._total = np.zeros((), np.int32)
        self._positions = np.zeros((1, MAX_RUN_TOKENS), np.int64)

    @staticmethod
    def num_bytes(architecture: Architecture, layers: Sequence[int], capacity: int) -> int:
        room = _Room(architecture, capacity)
        return key_value_bytes(architecture, layers, room.num_buffered + room.num_archived)

    @property
    def present(self) -> Mapping[str, Array]:
        return self.past

    def inputs(self, num_tokens: int) -> Mapping[str, Array]:
        return {
            "window_seqlens_k": self._seqlens,
            "window_total_sequence_length": self._total,
            "position_ids": self._positions[:, :num_tokens],
        }

    def prepare(self, length: int, num_tokens: int) -> None:
        num_seen = min(length, self._kept)
        num_held = length - self._start
        if num_held < num_seen or num_held + num_tokens > self._kept + max(self._step, num_tokens):
            self._slide(length, length - num_seen)
        total = length - self._start + num_tokens
        self._total[...] = total
        self._seqlens[0] = total - 1
        self._positions[0, :num_tokens] = np.arange(length, length + num_tokens)

    def rewind(self, length: int) -> int:
        self._archived = min(self._archived, length)
        return length

    def _slide(self, length: int, start: int) -> None:
        """Have the buffer hold the tokens from `start` to `length`."""
        unsaved = slice(self._archived - self._start, length - self._start)
        if self._archived < length:
            self._archive[..., self._archived : length, :] = self._buffer[..., unsaved, :]
        self._buffer[..., : length - start, :] = self._archive[..., start:length, :]
        self._start, self._archived = start, length


class _Room:
    """How many tokens buffer and archive hold; no archive where the buffer never slides.

    A run sees `kept` tokens before its first one.
    """

    def __init__(self, architecture: Architecture, capacity: int) -> None:
        kinds = architecture.kinds_of_layers
        window = max(kind.window for kind in kinds if isinstance(kind, Windowed))
        self.kept = window - 1
        self.step = max(1, window // SLIDES_PER_WINDOW)
        self.num_buffered = min(capacity, self.kept + max(self.step, MAX_RUN_TOKENS))
        self.num_archived = capacity if capacity > self.kept + self.step else 0
