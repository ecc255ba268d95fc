"""A model in several files, as llama-gguf-split cuts it: the first has the metadata.

They are called NAME-00001-of-00003.gguf and so on, and each says which of how many it is.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from export.checkpoint.config import Config
from export.checkpoint.gguf.layout import Layout, TensorHeader, read_layout
from export.errors import CheckpointError

MAX_PARTS: Final = 1024
_NUMBERED: Final = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")


def model_name(path: Path) -> str:
    """Return a file's name without what says which part it is."""
    match = _NUMBERED.fullmatch(path.stem)
    return path.stem if match is None else match["name"]


def read_parts(path: Path) -> Layout:
    """Read the headers of a file, and of all others of the same model where it is the first.

    Raises CheckpointError where a part is missing, is not the one that its name says, or is given
    instead of the first.
    """
    first = read_layout(path)
    count = _split(first.metadata, path, "count")
    if count < 2:
        return first
    number = _split(first.metadata, path, "no") + 1
    paths = _paths(path, count)
    if number != 1:
        raise CheckpointError(
            f"{path} is part {number} of {count}; give the first one, {paths[0].name}"
        )
    tensors = dict(first.tensors)
    for index, other in enumerate(paths[1:], start=1):
        for name, header in _part(other, index, count).items():
            if name in tensors:
                raise CheckpointError(f"{tensors[name].path} and {other} both hold {name}")
            tensors[name] = header
    total = _split(first.metadata, path, "tensors.count", default=len(tensors))
    if len(tensors) != total:
        raise CheckpointError(
            f"the {count} parts of {path} hold {len(tensors)} tensors instead of {total}; "
            "download them again"
        )
    return msgspec.structs.replace(first, tensors=tensors)


def _split(metadata: Mapping[str, Any], path: Path, key: str, *, default: int = 0) -> int:
    config = Config(metadata, f"the metadata of {path}")
    return config.integer(f"split.{key}", default=default, minimum=0)


def _paths(path: Path, count: int) -> list[Path]:
    match = _NUMBERED.fullmatch(path.stem)
    if match is None or int(match["count"]) != count or count > MAX_PARTS:
        raise CheckpointError(
            f"{path} says that it is one of {count} parts, which is not what its name says; a part "
            "is called NAME-00001-of-00003.gguf, and lies beside the others"
        )
    return [
        path.with_name(f"{match['name']}-{number:05d}-of-{count:05d}{path.suffix}")
        for number in range(1, count + 1)
    ]


def _part(path: Path, index: int, count: int) -> dict[str, TensorHeader]:
    if not path.exists():
        raise CheckpointError(f"{path} is missing, part {index + 1} of {count}; download it too")
    layout = read_layout(path)
    found = _split(layout.metadata, path, "no"), _split(layout.metadata, path, "count")
    if found != (index, count):
        raise CheckpointError(
            f"{path} says that it is part {found[0] + 1} of {found[1]}, which is not what its name "
            "says; download it again"
        )
    return layout.tensors
