"""Read and write protobuf's wire format, as far as an ONNX file needs it, without its library.

The encoding is https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Generator
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_TAG: Final = (1 << 32) - 1


def fields(message: memoryview) -> Generator[tuple[int, memoryview]]:
    """Yield the fields that have a length: strings, bytes and messages.

    Raises ValueError where the bytes are no message.
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


def field(number: int, content: bytes) -> bytes:
    """Return a field that has a length."""
    return _spelled(number << 3 | _BYTES) + _spelled(len(content)) + content


def _spelled(value: int) -> bytes:
    """Return a number as a varint."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))
