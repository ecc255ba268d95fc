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
from inference.package.protobuf import fields

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
    for number, content in fields(message):
        if number in parts:
            yield from _locations(content, parts[number], depth=depth + 1)


def _location(entry: memoryview) -> Generator[str]:
    """Yield every value of an entry that has the key `location`, also where it is repeated."""
    found = [(number, bytes(content)) for number, content in fields(entry)]
    keys = [content for number, content in found if number == _KEY]
    if b"location" in keys:
        values = [content for number, content in found if number == _VALUE]
        yield from (value.decode("utf-8", "backslashreplace") for value in values or [b""])
