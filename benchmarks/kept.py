"""Keep what was measured in a file, one JSON object a line, so that a run goes on where it was."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

Record = TypeVar("Record", bound=msgspec.Struct)
Key = TypeVar("Key", bound=Hashable)


class Kept(Generic[Key, Record]):
    """Records by what tells them apart; without a file they are kept for this run alone."""

    def __init__(
        self, path: Path | None, record: type[Record], key: Callable[[Record], Key]
    ) -> None:
        self._path, self._key = path, key
        decoder = msgspec.json.Decoder(record)
        lines = path.read_bytes().splitlines() if path is not None and path.exists() else []
        self._records = {key(one): one for one in map(decoder.decode, lines)}

    def __contains__(self, key: Key) -> bool:
        return key in self._records

    def __getitem__(self, key: Key) -> Record:
        return self._records[key]

    def get(self, key: Key) -> Record | None:
        return self._records.get(key)

    def add(self, record: Record) -> Record:
        self._records[self._key(record)] = record
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
        return record
