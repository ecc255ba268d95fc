"""Find the files of a workspace that people write, and read them. Runs in a thread.

Left alone is what the ignore files name, what usually holds secrets, hidden folders, those of
installed packages and build results, links, and what no person wrote: long files and long lines.
What was changed last comes first.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from inference import MAX_REMEMBERED_CHARACTERS, language_for, language_id_of
from lsp_server.ignored import IgnoreFiles, path_of
from lsp_server.policy.secrets import is_secret_file, masked_by_lines

MAX_VISITED: Final = 20_000
MAX_FILES: Final = 4_000
MAX_LINE_CHARACTERS: Final = 1_000

SKIPPED: Final = frozenset(
    {"node_modules", "bower_components", "vendor", "third_party", "dist", "build", "target", "out"}
)
"""Folders of what others wrote or a program did, also where no ignore file names them."""

MARKS: Final = frozenset({"pyvenv.cfg", "CACHEDIR.TAG"})
"""Files whose folder is left alone."""


def written_files(folders: Iterable[str]) -> list[Path]:
    """Return the paths of files to read under folders, by their URIs; the newest first."""
    roots, ignored = list(folders), IgnoreFiles()
    found = dict[Path, float]()
    for folder in roots:
        path = path_of(folder)
        for visited, (file, changed) in enumerate(_files(path) if path else ()):
            if visited == MAX_VISITED:
                break
            uri = file.as_uri()
            if not is_secret_file(uri) and not ignored.names(uri, roots):
                found[file] = changed
    return sorted(found, key=lambda file: -found[file])[:MAX_FILES]


def written_text(path: Path) -> str | None:
    """Return what a file holds, without what looks like a secret; None where nobody wrote it."""
    try:
        content = path.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError):
        return None
    if "\0" in text or max(map(len, text.splitlines()), default=0) > MAX_LINE_CHARACTERS:
        return None
    return masked_by_lines(text)


def _files(root: Path) -> Iterator[tuple[Path, float]]:
    """Yield the files of languages that are known, and when they were changed."""
    for folder, inner, names in os.walk(root):
        if MARKS.intersection(names):
            inner.clear()
            continue
        inner[:] = [name for name in inner if not name.startswith(".") and name not in SKIPPED]
        for name in names:
            path = Path(folder, name)
            if language_for(language_id_of(name)) is language_for(""):
                continue
            try:
                status = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_REMEMBERED_CHARACTERS:
                yield path, status.st_mtime
