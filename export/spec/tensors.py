"""The tensors that the oracle computes with, and who watches what they multiply."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

Observer = Callable[[str, int | None, Array], None]
"""Called with a slot, the expert where it has some, and the rows [num_tokens, in] it is given."""


def ignore(slot: str, expert: int | None, x: Array) -> None:
    """Take no notice."""


class Slots:
    """The tensors under one prefix, converted to one dtype when they are asked for."""

    def __init__(
        self,
        values: Mapping[str, Array],
        dtype: npt.DTypeLike,
        prefix: str = "",
        observe: Observer = ignore,
    ) -> None:
        self._values = values
        self._dtype = dtype
        self._prefix = prefix
        self._observe = observe

    def __getitem__(self, name: str) -> Array:
        return self._values[self._prefix + name].astype(self._dtype, copy=False)

    def under(self, prefix: str) -> "Slots":
        return Slots(self._values, self._dtype, self._prefix + prefix, self._observe)

    def product(self, name: str, x: Array) -> Array:
        """Return x @ weight.T, [num_tokens, out]."""
        self.saw(name, x)
        return x @ self[name].T

    def saw(self, name: str, x: Array, *, expert: int | None = None) -> None:
        """Tell the observer what a matrix is given."""
        self._observe(self._prefix + name, expert, x)
