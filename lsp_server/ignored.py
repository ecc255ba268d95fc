"""Read what a workspace asks to leave alone: `.inklingignore` and `.gitignore`, as git reads them.

Only under the folders that the client has named. Each is read again after a while; what cannot be
read names nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES: Final = (".inklingignore", ".gitignore")
MAX_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 64
FRESH_SECONDS: Final = 5.0
MAX_ANSWERS: Final = 1_000
"""Documents whose answers are kept; a session may see many."""


class IgnoreFiles:
    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._specs: dict[Path, tuple[float, GitIgnoreSpec]] = {}
        self._answers: dict[str, tuple[float, bool]] = {}

    def names(self, uri: str, folders: Iterable[str] | Mapping[str, str]) -> bool:
        """Say whether an ignore file names a document, between its folder and the workspace's."""
        now = self._clock()
        since, answer = self._answers.get(uri, (-FRESH_SECONDS, False))
        if now - since < FRESH_SECONDS:
            return answer
        if len(self._answers) >= MAX_ANSWERS:
            self.forget()
        answer = self._names(uri, folders, now)
        self._answers[uri] = now, answer
        return answer

    def forget(self) -> None:
        """Read all again: one of the files has changed."""
        self._specs.clear()
        self._answers.clear()

    def _names(self, uri: str, folders: Iterable[str], now: float) -> bool:
        path = path_of(uri)
        roots = {path_of(folder) for folder in folders} - {None}
        if path is None:
            return False
        parents = list(path.parents)[:MAX_DEPTH]
        inside = [root for root in parents if root in roots]
        if not inside:
            return False
        outermost = parents.index(inside[-1])
        # The nearest file that says anything of a path has the last word, as in git.
        for folder in parents[: outermost + 1]:
            verdict = self._spec(folder, now).check_file(path.relative_to(folder).as_posix())
            if verdict.include is not None:
                return verdict.include
        return False

    def _spec(self, folder: Path, now: float) -> "GitIgnoreSpec":
        from pathspec import GitIgnoreSpec  # a thirtieth of the time to `initialize`

        since, spec = self._specs.get(folder, (-FRESH_SECONDS, None))
        if spec is None or now - since >= FRESH_SECONDS:
            spec = GitIgnoreSpec.from_lines(_lines(folder))
            self._specs[folder] = now, spec
        return spec


def _lines(folder: Path) -> list[str]:
    found = list[str]()
    for name in IGNORE_FILES:
        try:
            with (folder / name).open("rb") as file:
                found += file.read(MAX_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            continue
    return found


def path_of(uri: str) -> Path | None:
    """Return the path of a file's URI, None for what is no local file."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    path = unquote(parts.path)
    return None if "\0" in path else Path(path)
