"""Find the files of a workspace that people write, and read them, a little at a time in a thread.

Left alone is what the ignore files name, what usually holds secrets, hidden folders, those of
installed packages and build results, links, and what no person wrote: long files and long lines.
What was changed last comes first.
"""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from inference import MAX_REMEMBERED_CHARACTERS, language_for, language_id_of
from lsp_server.ignored import IgnoreFiles, path_of
from lsp_server.policy.secrets import is_secret_file, masked_by_lines

FOLDERS_AT_ONCE: Final = 20
"""Between them whoever waits for the thread may give it up."""

MAX_FOLDERS: Final = 10_000
MAX_ENTRIES: Final = 10_000
"""Of one folder."""

MAX_FILES: Final = 4_000
MAX_LINE_CHARACTERS: Final = 1_000

SKIPPED: Final = frozenset(
    {"node_modules", "bower_components", "vendor", "third_party", "dist", "build", "target", "out"}
)
"""Folders of what others wrote or a program did, also where no ignore file names them."""

MARKS: Final = frozenset({"pyvenv.cfg", "CACHEDIR.TAG"})
"""Files whose folder is left alone."""


class Survey:
    """What is found under folders, given by their URIs; those near the top come first."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._roots = list(folders)
        paths = (path_of(folder) for folder in self._roots)
        self._pending = deque(path for path in paths if path is not None)
        self._ignored = IgnoreFiles()
        self._num_looked = 0
        self._changed: dict[Path, float] = {}

    def look(self) -> bool:
        """Look into some more folders; say whether there are others left."""
        for _ in range(FOLDERS_AT_ONCE):
            if not self._pending or self._num_looked == MAX_FOLDERS:
                return False
            self._num_looked += 1
            self._look_into(self._pending.popleft())
        return True

    def newest(self) -> Sequence[Path]:
        """Return the files that were found, those that changed last first."""
        changed = self._changed
        return sorted(changed, key=lambda path: -changed[path])[:MAX_FILES]

    def _look_into(self, folder: Path) -> None:
        entries = _entries(folder)
        if MARKS.intersection(entry.name for entry in entries):
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in SKIPPED:
                    self._pending.append(Path(entry.path))
            elif (changed := _changed(entry)) is not None and self._is_wanted(Path(entry.path)):
                self._changed[Path(entry.path)] = changed

    def _is_wanted(self, path: Path) -> bool:
        uri = path.as_uri()
        return not is_secret_file(uri) and not self._ignored.names(uri, self._roots)


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


def _entries(folder: Path) -> Sequence["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, MAX_ENTRIES))
    except OSError:
        return ()


def _changed(entry: "os.DirEntry[str]") -> float | None:
    """Return when a file of a language that is known was changed; None for all else."""
    if language_for(language_id_of(entry.name)) is language_for(""):
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    is_short = status.st_size <= MAX_REMEMBERED_CHARACTERS
    return status.st_mtime if entry.is_file(follow_symlinks=False) and is_short else None
