"""What every kind of checkpoint offers: its tensors by name, wide, or rounded as stored."""

from collections.abc import Mapping
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


class Integers(msgspec.Struct, frozen=True, kw_only=True):
    """A rounded matrix: `values` [out, in], `zeros` and `scales` [out, num_groups].

    `groups` [in] is the group of each input. A value is (integer - zero) * scale.
    """

    bits: int
    values: Bytes
    zeros: Bytes
    scales: Float32
    groups: npt.NDArray[np.int64]

    def in_order_of(self, block_size: int) -> bool:
        """Say whether the groups are the blocks of a row, one after the other."""
        num_inputs = len(self.groups)
        if num_inputs != self.scales.shape[1] * block_size:
            return False
        return np.array_equal(self.groups, np.arange(num_inputs) // block_size)


class StoredTensor(Protocol):
    """A tensor that was not read yet."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def is_rounded(self) -> bool:
        """Whether it is stored as integers and scales that might be taken over."""
        ...

    @property
    def stored_as(self) -> str:
        """The format's own name of how it is stored."""
        ...


class Checkpoint(Protocol):
    @property
    def tensors(self) -> Mapping[str, StoredTensor]: ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was left out or goes by another name, a line each."""
        ...

    def read(self, name: str) -> Float32:
        """Read one tensor as float32, in memory of its own.

        Raises CheckpointError where a number is infinite or none.
        """
        ...

    def integers(self, name: str, *, bits: int, block_size: int) -> Integers | None:
        """Read a rounded matrix as it is stored; None unless it lies in blocks of that kind.

        Raises CheckpointError where a scale is infinite or none.
        """
        ...
