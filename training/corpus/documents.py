"""Read the text files of a package's archive, and keep documents as JSON lines.

Knows archives and file endings. Judges nothing: what is worth keeping is decided in clean.py.
"""

import importlib.metadata
import io
import re
import subprocess
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from training.corpus.sources import DATA_FOLDER, Kind, Package
from training.errors import TrainingError

LANGUAGES: Final = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".mts": "typescript",
    ".md": "markdown",
    ".rst": "restructuredtext",
}
DOCUMENTS_FOLDER: Final = DATA_FOLDER / "documents"
MAX_FILE_BYTES: Final = 1 << 20
"""Larger source files are data or bundles; clean.py would refuse them anyway."""

_PLAIN_TEXT_PAGE: Final = re.compile(r"\.rst\.txt$|(^|/)docs/(?!.*requirements).*\.txt$")
"""reStructuredText by other names: what Sphinx keeps beside a page, and Django's manual."""

_PAGE_SOURCES: Final = "/_sources/"
"""The folder that Sphinx copies a manual's own files to; all else of one is made from them."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `holes` are [start, end] pairs of characters, whole statements and blocks."""

    package: str
    path: str
    language: str
    text: str
    holes: tuple[tuple[int, int], ...] = ()


def read_package(package: Package, archive: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file that may be source text or documentation.

    Paths are relative to the package, without the folder that a source archive wraps around it.
    """
    match package.kind:
        case "wheel":
            members = _zip_members(_given(archive, package.kind))
        case "sdist" | "npm":
            members = _tar_members(_given(archive, package.kind))
        case "debian":
            members = _manual_members(_given(archive, package.kind))
        case "installed":
            members = _installed_members(package.name)
    yield from members


def language_of(path: str) -> str | None:
    """Return the language of a file that may be trained on, None for any other file."""
    if path.endswith((".d.ts", ".d.mts", ".d.cts")):
        return None
    if _PLAIN_TEXT_PAGE.search(path):
        return "restructuredtext"
    return LANGUAGES.get(PurePosixPath(path).suffix.lower())


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        for document in documents:
            file.write(encoder.encode(document) + b"\n")


def read_documents(path: Path) -> Iterator[Document]:
    decoder = msgspec.json.Decoder(Document)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def _given(archive: Path | None, kind: Kind) -> Path:
    if archive is None or not archive.exists():
        raise TrainingError(
            f"the {kind} {archive} is not there; run python -m training.corpus.fetch"
        )
    return archive


def _zip_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if language_of(member.filename) and member.file_size <= MAX_FILE_BYTES:
                yield member.filename, file.read(member)


def _tar_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as file:
        for member in file:
            content = file.extractfile(member) if member.isfile() else None
            if content and language_of(member.name) and member.size <= MAX_FILE_BYTES:
                yield member.name.partition("/")[2], content.read()


def _manual_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    unpacked = subprocess.run(command, check=False, capture_output=True)
    if unpacked.returncode:
        raise TrainingError(f"{archive.name} cannot be read: {unpacked.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as file:
        for member in file:
            _, found, path = member.name.partition(_PAGE_SOURCES)
            content = file.extractfile(member) if found and member.isfile() else None
            if content and language_of(path):
                yield path, content.read()


def _installed_members(name: str) -> Iterator[tuple[str, bytes]]:
    for root, path in _installed_files(name):
        if language_of(path.name) and path.stat().st_size <= MAX_FILE_BYTES:
            yield path.relative_to(root).as_posix(), path.read_bytes()


def _installed_files(name: str) -> Iterator[tuple[Path, Path]]:
    if name == "python":
        root = Path(sysconfig.get_path("stdlib"))
        inside = (path for path in sorted(root.rglob("*")) if "site-packages" not in path.parts)
        yield from ((root, path) for path in inside if path.is_file())
        return
    root = Path(sysconfig.get_path("purelib"))
    for path in importlib.metadata.files(name) or ():
        located = Path(str(path.locate()))
        if located.is_file() and located.is_relative_to(root):
            yield root, located
