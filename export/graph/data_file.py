"""The file that a graph's weights lie in, and how two graphs share what is equal.

Each array begins at a page boundary, which lets the runtime map it. A second graph of a package is
written knowing what the first one holds: bytes that are there already are pointed at, not written.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt

DATA_FILE: Final = "model.onnx.data"
CUDA_DATA_FILE: Final = "model_cuda.onnx.data"
PREDICTOR_DATA_FILE: Final = "predictor.onnx.data"

_PAGE_BYTES: Final = 4096


class Place(msgspec.Struct, frozen=True):
    """Some bytes of a data file beside the graph."""

    file: str
    offset: int
    length: int


class DataFile:
    """`remembered`, where it is given, is told the place of each array by the hash of its bytes.

    `known` is what another file remembered.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str = DATA_FILE,
        *,
        remembered: dict[bytes, Place] | None = None,
        known: Mapping[bytes, Place] | None = None,
    ) -> None:
        self._file = file
        self._name = name
        self._remembered = remembered
        self._known = known or {}

    def place(self, array: npt.NDArray[Any]) -> Place:
        """Write an array, or find where it is."""
        data = np.ascontiguousarray(array).data
        if self._remembered is None and not self._known:
            return self._written(data)
        digest = hashlib.sha256(data).digest()
        place = self._known.get(digest) or self._written(data)
        if self._remembered is not None:
            self._remembered[digest] = place
        return place

    def _written(self, data: memoryview) -> Place:
        self._file.write(b"\0" * (-self._file.tell() % _PAGE_BYTES))
        offset = self._file.tell()
        self._file.write(data)
        return Place(self._name, offset, data.nbytes)
