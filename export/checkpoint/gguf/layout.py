"""What a GGUF file says it holds, believed only where its bytes agree.

    "GGUF", version, number of tensors, number of values
    values: name, type, value                               (the metadata)
    tensors: name, sizes (innermost first), type, offset    (the headers)
    padding to `general.alignment`, then the tensors, each padded to it

Every count, length and offset is held against the bytes that are left before it is used, so a
damaged file costs no more memory than a good one, and nothing is read before all of it agrees.
"""

import mmap
import stat
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from export.errors import CheckpointError, UnsupportedError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_VALUES: Final = 1 << 16
MAX_TENSORS: Final = 1 << 17
MAX_NAME_BYTES: Final = 1 << 10
MAX_DIMENSIONS: Final = 4
MAX_HEADER_BYTES: Final = 1 << 26
"""Vocabularies of half a million tokens take some twenty megabytes."""

MAX_ELEMENTS: Final = 1 << 22
"""The most elements of all lists together: one of a byte becomes an object of Python."""

DEFAULT_ALIGNMENT: Final = 32
MAX_ALIGNMENT: Final = 1 << 16

_STRING, _ARRAY = 8, 9
_SCALARS: Final[Mapping[int, str]] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip


class TensorHeader(msgspec.Struct, frozen=True, kw_only=True):
    """`shape` has the innermost size last, as in numpy; `offset` counts from the file's start."""

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int
    size: int


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, TensorHeader]


def read_layout(path: Path) -> Layout:
    """Read metadata and headers, and check that the tensors fill the file to its end.

    Raises CheckpointError for a file that is damaged or no GGUF, UnsupportedError for a kind of
    tensor or a version that is not read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise CheckpointError(f"{path} is not a regular file; download it again")
        if status.st_size < len(MAGIC):
            raise _damaged(path, f"it has {status.st_size} bytes")
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    with mapped:
        return _Parser(path, mapped).layout()


class _Parser:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._end = min(len(data), MAX_HEADER_BYTES)
        self._position = 0
        self._num_elements = 0

    def layout(self) -> Layout:
        magic = self._take(len(MAGIC))
        if magic != MAGIC:
            raise UnsupportedError(f"{self._path} is no GGUF file: it begins with {magic!r}")
        version = self._number("I")
        if version not in VERSIONS:
            raise UnsupportedError(
                f"{self._path} is GGUF of version {version}, and only 2 and 3 with the least "
                "significant byte first are read; convert it again"
            )
        num_tensors, num_values = self._number("Q"), self._number("Q")
        if num_tensors > MAX_TENSORS or num_values > MAX_VALUES:
            raise self._wrong(f"it claims {num_tensors} tensors and {num_values} values")
        metadata: dict[str, Any] = {}
        for _ in range(num_values):
            name = self._name()
            if name in metadata:
                raise self._wrong(f"it has {name!r} twice")
            metadata[name] = self._value(self._number("I"), name)
        headers = [self._header() for _ in range(num_tensors)]
        start = _aligned(self._position, self._alignment(metadata))
        tensors = self._placed(headers, start, self._alignment(metadata))
        return Layout(path=self._path, metadata=metadata, tensors=tensors)

    def _header(self) -> TensorHeader:
        """Read a header; its offset still counts from where the tensors begin."""
        name = self._name()
        num_dimensions = self._number("I")
        if not 1 <= num_dimensions <= MAX_DIMENSIONS:
            raise self._wrong(f"{name} has {num_dimensions} dimensions")
        sizes = [self._number("Q") for _ in range(num_dimensions)]
        number, offset = self._number("I"), self._number("Q")
        try:
            kind = GGMLQuantizationType(number)
            block_size, block_bytes = GGML_QUANT_SIZES[kind]
        except (ValueError, KeyError) as error:
            raise UnsupportedError(
                f"{self._path} stores {name} as type {number}, which is not known"
            ) from error
        count = prod(sizes)
        if min(sizes) < 1 or count > 8 * len(self._data) or sizes[0] % block_size:
            raise self._wrong(f"{name} has sizes {sizes} in {kind.name}")
        return TensorHeader(
            path=self._path,
            name=name,
            shape=tuple(reversed(sizes)),
            kind=kind,
            offset=offset,
            size=count // block_size * block_bytes,
        )

    def _placed(
        self, headers: list[TensorHeader], start: int, alignment: int
    ) -> dict[str, TensorHeader]:
        """Check that the tensors lie one behind the other, as listed, to the file's end."""
        placed: dict[str, TensorHeader] = {}
        end = start
        for header in headers:
            expected = _aligned(end, alignment)
            if start + header.offset != expected:
                raise self._wrong(
                    f"{header.name} begins at byte {start + header.offset} instead of {expected}"
                )
            if header.name in placed:
                raise self._wrong(f"it has {header.name} twice")
            placed[header.name] = msgspec.structs.replace(header, offset=expected)
            end = expected + header.size
        if not end <= len(self._data) <= _aligned(end, alignment):
            raise self._wrong(f"it has {len(self._data)} bytes instead of {end}")
        return placed

    def _alignment(self, metadata: Mapping[str, Any]) -> int:
        found = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        is_one = isinstance(found, int) and not isinstance(found, bool)
        if not is_one or not 1 <= found <= MAX_ALIGNMENT or found & (found - 1):
            raise self._wrong(f"general.alignment is {found!r}")
        return int(found)

    def _name(self) -> str:
        length = self._number("Q")
        if not 1 <= length <= MAX_NAME_BYTES:
            raise self._wrong(f"a name has {length} bytes")
        return self._text(length)

    def _value(self, kind: int, name: str) -> Any:  # noqa: ANN401 - whatever it holds
        if kind == _STRING:
            return self._text(self._number("Q"))
        if kind == _ARRAY:
            return self._array(name)
        if kind not in _SCALARS:
            raise self._wrong(f"{name} is of type {kind}")
        return self._number(_SCALARS[kind])

    def _array(self, name: str) -> list[Any]:
        kind, count = self._number("I"), self._number("Q")
        self._num_elements += count
        if self._num_elements > MAX_ELEMENTS:
            raise self._wrong(f"{name} has {count} elements")
        if kind == _STRING:
            # Eight bytes at least each: a count that is too large is seen before anything is made.
            self._need(8 * count)
            return [self._text(self._number("Q")) for _ in range(count)]
        if kind not in _SCALARS:
            raise self._wrong(f"{name} is a list of type {kind}")
        width = struct.calcsize(f"<{_SCALARS[kind]}")
        self._need(width * count)
        return list(struct.unpack(f"<{count}{_SCALARS[kind]}", self._take(width * count)))

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._wrong(f"a text is not UTF-8: {error}") from error

    def _number(self, form: str) -> Any:  # noqa: ANN401 - a number or a truth
        (value,) = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))
        return value

    def _take(self, length: int) -> bytes:
        self._need(length)
        taken = self._data[self._position : self._position + length]
        self._position += length
        return taken

    def _need(self, length: int) -> None:
        if length > self._end - self._position:
            raise self._wrong(f"{length} bytes are wanted at {self._position}")

    def _wrong(self, reason: str) -> CheckpointError:
        return _damaged(self._path, reason)


def under(metadata: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the values whose names begin with `prefix`, named without it."""
    return {
        key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)
    }


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or damaged: {reason}; download it again")
