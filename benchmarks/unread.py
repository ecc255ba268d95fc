"""Files to type into that no model of ours was trained on: unread.toml, fetched and kept.

Four languages. Files that a person writes: of some length, with no endless lines. The archives go
through pip and npm, are checked against their hashes and unpacked; nothing of them is run.
"""

import io
import random
import re
import tarfile
import tomllib
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import click
import msgspec
from platformdirs import user_cache_path

from evaluation.sources import Source
from inference.completion import (
    MAX_REMEMBERED_CHARACTERS,
    CompletionRequest,
    within_bounds,
)
from inference.languages import language_id_of
from training.corpus.fetch import fetch
from training.corpus.sources import Corpus

PACKAGES: Final = Path(__file__).with_name("unread.toml")
LANGUAGES: Final = ("python", "javascript", "typescript", "c")
TABLES_AND_BUILDS: Final = re.compile(
    r"/(locale|dist|compat|docs)/|\.d\.[mc]?ts$|\.cjs$|errorcodes|sqlstate"
)
MIN_LINES: Final = 60
MAX_LINES: Final = 3_000
MAX_COLUMNS: Final = 160


def unread_files(num_each: int, *, seed: int = 0) -> list[Source]:
    """Return so many files of each language, the same ones for the same seed."""
    found: dict[str, list[Source]] = {language: [] for language in LANGUAGES}
    for source in _all_files():
        if source.language in found:
            found[source.language].append(source)
    chooser = random.Random(seed)  # noqa: S311 - a sample of files
    for sources in found.values():
        chooser.shuffle(sources)
    few = {language: len(sources) for language, sources in found.items() if len(sources) < num_each}
    if few:
        raise click.ClickException(f"{num_each} files of each language are not there: {few}")
    return [source for turn in zip(*found.values(), strict=False) for source in turn][
        : num_each * len(LANGUAGES)
    ]


def package_files(packages: Collection[str]) -> dict[str, list[Source]]:
    """Return all files of packages that may be remembered, by package."""
    found: dict[str, list[Source]] = {name: [] for name in packages}
    for source in _all_files():
        name = source.path.partition("/")[0]
        if name in found and len(source.text) <= MAX_REMEMBERED_CHARACTERS:
            found[name].append(source)
    return found


def _all_files() -> Iterator[Source]:
    folder = user_cache_path("inkling") / "unread"
    packages = msgspec.convert(tomllib.loads(PACKAGES.read_text("utf-8")), type=Corpus).package
    for package in packages:
        for path, content in sorted(_members(fetch(package, folder).read_bytes())):
            language = language_id_of(path)
            if not TABLES_AND_BUILDS.search(path) and _is_written(content):
                yield Source(f"{package.name}/{path}", content.decode(), language)


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    opened = io.BytesIO(archive)
    if zipfile.is_zipfile(opened):
        with zipfile.ZipFile(opened) as file:
            yield from ((name, file.read(name)) for name in file.namelist())
        return
    opened.seek(0)
    with tarfile.open(fileobj=opened) as file:
        for member in file:  # in its order: a compressed file is not read backwards
            content = file.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content.read()


def _is_written(content: bytes) -> bool:
    """Say whether a file is of those that people write and type into."""
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError:
        return False
    return MIN_LINES <= len(lines) <= MAX_LINES and max(map(len, lines)) <= MAX_COLUMNS


def request_in(source: Source, before: str, after: str, *, max_tokens: int) -> CompletionRequest:
    """Return a request for the place between two texts, which a file has become."""
    prefix, suffix, num_skipped = within_bounds(before, after)
    return CompletionRequest(
        document=source.path,
        language=source.language,
        prefix=prefix,
        suffix=suffix,
        num_skipped=num_skipped,
        max_tokens=max_tokens,
    )
