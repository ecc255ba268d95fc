"""A GGUF file in parts that may say anything, to be changed and put together again."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gguf

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMS: Final = {
    U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q",
    I64: "q", F64: "d",
}  # fmt: skip

Typed = tuple[tuple[int, ...], Any]
"""The types of a value, more than one for a list, and the value; bytes stand for themselves."""


@dataclass
class Header:
    name: str | bytes
    sizes: list[int]
    kind: int
    offset: int
    num_dimensions: int | None = None


@dataclass
class RawGguf:
    """`values` and `headers` are lists, so that a name may be there twice."""

    values: list[tuple[str | bytes, Typed]]
    headers: list[Header]
    data: bytes
    magic: bytes = b"GGUF"
    version: int = 3
    num_headers: int | None = None
    num_values: int | None = None
    order: str = "<"
    alignment: int = 32

    def __getitem__(self, name: str) -> Any:
        return next(value for found, (_, value) in self.values if found == name)

    def set(self, name: str, value: Any, *types: int) -> None:
        """Change or add a value, by default of the type that it has."""
        index = next((i for i, (found, _) in enumerate(self.values) if found == name), None)
        if index is None:
            self.values.append((name, (types, value)))
        else:
            self.values[index] = (name, (types or self.values[index][1][0], value))

    def remove(self, name: str) -> None:
        self.values = [(found, value) for found, value in self.values if found != name]

    def header(self, name: str) -> Header:
        return next(header for header in self.headers if header.name == name)

    def encoded(self) -> bytes:
        counts = (
            len(self.headers) if self.num_headers is None else self.num_headers,
            len(self.values) if self.num_values is None else self.num_values,
        )
        found = self.magic + self._packed("I", self.version) + self._packed("QQ", *counts)
        for name, (types, value) in self.values:
            found += self._text(name) + self._packed("I", types[0]) + self._value(types, value)
        for header in self.headers:
            count = header.num_dimensions
            found += self._text(header.name)
            found += self._packed("I", len(header.sizes) if count is None else count)
            found += self._packed(f"{len(header.sizes)}Q", *header.sizes)
            found += self._packed("IQ", header.kind, header.offset)
        return found + b"\0" * (-len(found) % self.alignment) + self.data

    def _value(self, types: tuple[int, ...], value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        kind, *inner = types
        if kind == STRING:
            return self._text(value)
        if kind != ARRAY:
            return self._packed(FORMS[kind], value)
        start = self._packed("IQ", inner[0], len(value))
        return start + b"".join(self._value(tuple(inner), element) for element in value)

    def _text(self, text: str | bytes) -> bytes:
        content = text.encode() if isinstance(text, str) else text
        return self._packed("Q", len(content)) + content

    def _packed(self, form: str, *values: Any) -> bytes:
        return struct.pack(f"{self.order}{form}", *values)


def taken_apart(path: Path) -> RawGguf:
    """Read a good file with llama.cpp's library."""
    reader = gguf.GGUFReader(path)
    values: list[tuple[str | bytes, Typed]] = [
        (name, (tuple(map(int, field.types)), field.contents()))
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    ]
    start = min(tensor.data_offset for tensor in reader.tensors)
    headers = [
        Header(
            tensor.name,
            [int(size) for size in tensor.shape],
            int(tensor.tensor_type),
            int(tensor.data_offset - start),
        )
        for tensor in reader.tensors
    ]
    return RawGguf(values=values, headers=headers, data=path.read_bytes()[start:])
