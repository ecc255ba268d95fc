"""Read the files that holes are cut into.

A file that was named must be readable; in a folder, what is not source code is passed over.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from inference.errors import InvalidRequestError
from inference.languages import PLAIN_TEXT, language_id_of

MAX_FILE_BYTES: Final = 1 << 20
"""Larger files in a folder are data or generated."""

IGNORED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "build", "dist", "venv"})


class Source(msgspec.Struct, frozen=True):
    path: str
    text: str
    language: str


def read_sources(paths: Sequence[Path]) -> list[Source]:
    """Read files, and the files of known languages in folders; each once, in order of name.

    Hidden folders and those that tools fill are left out.
    Raises InvalidRequestError where a path does not exist, or a named file is no UTF-8 text.
    """
    sources: dict[Path, Source] = {}
    for path in paths:
        if path.is_dir():
            for file in _files_in(path):
                source = _source_or_none(file)
                if source is not None:
                    sources.setdefault(file.resolve(), source)
        else:
            sources.setdefault(path.resolve(), _source(path))
    return list(sources.values())


def _files_in(folder: Path) -> Generator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in IGNORED_FOLDERS or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files_in(path)
        elif language_id_of(path.name) != PLAIN_TEXT:
            yield path


def _source_or_none(path: Path) -> Source | None:
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        return None
    try:
        return _source(path)
    except InvalidRequestError:
        return None


def _source(path: Path) -> Source:
    try:
        # newline="" keeps \r\n, which is what an editor would send
        with path.open(encoding="utf-8", newline="") as file:
            return Source(str(path), file.read(), language_id_of(path.name))
    except OSError as error:
        raise InvalidRequestError(
            f"cannot read {path}: {error.strerror}; name a file or a folder"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"{path} is not UTF-8 at byte {error.start}; convert it first"
        ) from error
