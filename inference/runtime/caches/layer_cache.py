"""The protocol of a kind of cache, and the shape of keys and values, which most kinds share."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inference.package.manifest import Architecture

Array = npt.NDArray[Any]


class LayerCache(Protocol):
    """What all layers of one kind keep of the tokens that were read.

    It is told lengths and never learns whether a run succeeded: the next `prepare` gets the length
    that it reached, which is the old one when it failed. What a failed run wrote must not be read.
    """

    @property
    def is_moving(self) -> bool:
        """Whether `past` and `present` are other arrays after each `prepare`."""
        ...

    @property
    def past(self) -> Mapping[str, Array]:
        """What runs read: the graph's inputs `past_{name}`."""
        ...

    @property
    def present(self) -> Mapping[str, Array]:
        """What runs write: the graph's outputs `present_{name}`, which may be those of `past`."""
        ...

    def inputs(self, num_tokens: int) -> Mapping[str, Array]:
        """Return the kind's further inputs for runs of so many tokens, which `prepare` fills."""
        ...

    def prepare(self, length: int, num_tokens: int) -> None:
        """Make ready for a run that appends `num_tokens` to the first `length` tokens."""
        ...

    def rewind(self, length: int) -> int:
        """Forget all but the first `length` tokens, or fewer; return how many are left.

        A cache made of several kinds goes from one to the next with what the last one returned.
        """
        ...


def key_value_shape(
    architecture: Architecture, layer: int, num_tokens: int
) -> tuple[int, int, int]:
    """Return the shape of a layer's keys, which is that of its values."""
    heads = architecture.heads_of(layer)
    return (heads.number, num_tokens, heads.size)


def key_value_bytes(architecture: Architecture, layers: Sequence[int], num_tokens: int) -> int:
    """Return what keys and values of these layers take, in float32."""
    shapes = (key_value_shape(architecture, layer, num_tokens) for layer in layers)
    return sum(2 * int(np.prod(shape)) * np.float32().nbytes for shape in shapes)
