"""Read from an ONNX file which other files it names, without loading it.

A tensor may say that its bytes lie in another file. The runtime follows such a place wherever a
tensor can stand; it has been led outside the model's folder before, and it follows hard links
(onnxruntime 1.31, measured). So every place is read here first, and must be one of the files that
the manifest vouches for.

The messages and field numbers are those of onnx.proto (https://github.com/onnx/onnx). Whatever is
not in the tables below holds no tensor and is skipped. Only the standard library is used.
"""

from collections.abc import Collection, Generator, Mapping
from pathlib import Path
from typing import Final

from inference.errors import InvalidModelError

MAX_GRAPH_BYTES: Final = 256 << 20
"""A graph is some hundred kilobytes; its weights lie in a file of their own."""

MAX_DEPTH: Final = 64

# message -> field number -> the message that the field holds
_MESSAGES: Final[Mapping[str, Mapping[int, str]]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "ExternalData"},
    "ExternalData": {},
}
_KEY, _VALUE = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_TAG: Final = (1 << 32) - 1


def check_external_data(path: Path, allowed: Collection[str]) -> None:
    """Check that every tensor's bytes are in the file itself or in one of `allowed` beside it.

    Raises InvalidModelError naming the first other place, or saying that the file is no ONNX.
    """
    if path.stat().st_size > MAX_GRAPH_BYTES:
        raise InvalidModelError(f"{path} is larger than {MAX_GRAPH_BYTES} bytes; export again")
    try:
        for location in external_locations(path.read_bytes()):
            if location not in allowed:
                raise InvalidModelError(
                    f"{path} takes weights from {location!r}, which is no file of this package; "
                    "do not use this package, and export the model yourself"
                )
    except ValueError as error:
        raise InvalidModelError(
            f"onnxruntime cannot load {path}: it is no ONNX file, {error}; export again"
        ) from error


def external_locations(model: bytes) -> Generator[str]:
    """Yield where each tensor of a serialized ModelProto lies, if outside of it.

    Raises ValueError where the bytes are no such message.
    """
    yield from _locations(memoryview(model), "Model", depth=0)


def _locations(message: memoryview, kind: str, *, depth: int) -> Generator[str]:
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if kind == "ExternalData":
        yield from _location(message)
        return
    parts = _MESSAGES[kind]
    for number, content in _fields(message):
        if number in parts:
            yield from _locations(content, parts[number], depth=depth + 1)


def _location(entry: memoryview) -> Generator[str]:
    """Yield every value of an entry that has the key `location`, also where it is repeated."""
    fields = [(number, bytes(content)) for number, content in _fields(entry)]
    keys = [content for number, content in fields if number == _KEY]
    if b"location" in keys:
        values = [content for number, content in fields if number == _VALUE]
        yield from (value.decode("utf-8", "backslashreplace") for value in values or [b""])


def _fields(message: memoryview) -> Generator[tuple[int, memoryview]]:
    """Yield the fields that have a length: strings, bytes and messages.

    The encoding is https://protobuf.dev/programming-guides/encoding.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag > _MAX_TAG:
            raise ValueError("it has a field number that is none")  # others read its low bits
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _, position = _varint(message, position)
        elif wire_type == _BYTES:
            size, position = _varint(message, position)
            if size > len(message) - position:
                raise ValueError("it is cut off")
            yield number, message[position : position + size]
            position += size
        elif wire_type in {_FIXED32, _FIXED64}:
            position += 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"it has a field of the unknown type {wire_type}")
    if position > len(message):
        raise ValueError("it is cut off")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("it is cut off")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
    raise ValueError("it has a number of more than ten bytes")
