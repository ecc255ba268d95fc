"""Layers that keep a state of fixed size: it cannot go back, so some earlier ones are kept.

    states    after tokens 0 .. 384 .. 448 .. 480 .. 496 .. 504 .. 508 .. 510 .. 511   512 ─┐ run
                                                                          written ◄─────────┘

A run reads one state and writes another, so the one it read is a snapshot that cost nothing, and a
run that fails leaves all of them as they were. When none is free, that snapshot goes which leaves
the smallest gap for how long ago it was. Few are kept of those that runs of one token wrote and
read: the places where a prompt was read up to stay while the completion behind it is written.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

import numpy as np

from inference.package.manifest import Architecture, Recurrent
from inference.runtime.caches.layer_cache import Array

NUM_STATES: Final = 8
"""One of them is read and one is written; each is as large as the states of all layers together."""

MAX_STEPS: Final = 2
"""How many snapshots within a completion are kept, for when a part of it is accepted."""


class RecurrentLayers:
    """States of all recurrent layers together, each after `_lengths` tokens, or free.

    `_written` is the one that the last run wrote, and how many tokens it was to reach; `_steps` are
    those that a run of one token wrote, and none of more tokens read.
    """

    is_moving = True

    def __init__(self, architecture: Architecture, layers: Sequence[int], capacity: int) -> None:
        shapes = _shapes(architecture, layers)
        self._states = [
            {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            for _ in range(NUM_STATES)
        ]
        self._lengths: list[int | None] = [0, *[None] * (NUM_STATES - 1)]
        self._read = 0
        self._written = (1, 0)
        self._steps: set[int] = set()

    @staticmethod
    def num_bytes(architecture: Architecture, layers: Sequence[int], capacity: int) -> int:
        values = sum(prod(shape) for shape in _shapes(architecture, layers).values())
        return NUM_STATES * values * np.float32().nbytes

    @property
    def past(self) -> Mapping[str, Array]:
        return self._states[self._read]

    @property
    def present(self) -> Mapping[str, Array]:
        return self._states[self._written[0]]

    def inputs(self, num_tokens: int) -> Mapping[str, Array]:
        return {}

    def prepare(self, length: int, num_tokens: int) -> None:
        self._settle(length)
        self._read = self._lengths.index(length)
        written = self._least_useful(length)
        self._lengths[written] = None
        self._written = (written, length + num_tokens)
        if num_tokens == 1:
            self._steps.add(written)
        else:
            self._steps -= {written, self._read}

    def rewind(self, length: int) -> int:
        self._settle(length)
        self._lengths = [None if held is None or held > length else held for held in self._lengths]
        reached = max((held for held in self._lengths if held is not None), default=0)
        if reached not in self._lengths:
            for array in self._states[0].values():
                array[...] = 0
            self._lengths[0] = 0
        return reached

    def _settle(self, length: int) -> None:
        """Keep what the last run wrote if it succeeded: then at least its tokens are there."""
        written, reached = self._written
        if 0 < reached <= length:
            self._lengths[written] = reached
        self._written = (written, 0)

    def _least_useful(self, length: int) -> int:
        """Return the state to write: one that is free, or the snapshot that is missed least."""
        if None in self._lengths:
            return self._lengths.index(None)
        held = sorted(found for found in self._lengths if found is not None)
        missed = {
            # After no token it is made of zeros, whenever it is wanted.
            self._lengths.index(mine): (after - before) / (length - before) if mine else 0.0
            for before, mine, after in zip([0, *held], held, held[1:], strict=False)
        }
        steps = self._steps & missed.keys()
        others = missed.keys() - steps
        from_steps = len(steps) > MAX_STEPS or not others
        return min(steps if from_steps else others, key=missed.__getitem__)


def _shapes(architecture: Architecture, layers: Sequence[int]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        kind = architecture.kinds_of_layers[layer]
        assert isinstance(kind, Recurrent)
        shapes[f"convolution.{layer}"] = (1, kind.num_channels, kind.kernel_size - 1)
        heads = (kind.num_heads, kind.key_head_dim, kind.value_head_dim)
        if prod(heads):
            shapes[f"recurrent.{layer}"] = (1, *heads)
    return shapes
