"""What is opened from files, given up while nobody needs it, and opened again from them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from inference.errors import InvalidModelError

T = TypeVar("T")


class Reopened(Generic[T]):
    """`files` are those that `opening` reads; once they were read they may not change."""

    def __init__(self, opening: Callable[[], T], files: Sequence[Path] = ()) -> None:
        self._opening = opening
        self._files = tuple(files)
        self._stamps: tuple[tuple[int, ...], ...] | None = None
        self._opened: T | None = None

    @property
    def opened(self) -> T:
        """Open it where it is not open.

        Raises InvalidModelError where a file is another one than it was, and what `opening` raises.
        """
        if self._opened is None:
            stamps = tuple(_stamp(file) for file in self._files)
            if self._stamps not in (None, stamps):
                raise InvalidModelError(
                    f"{self._files[0].parent} has changed since it was loaded; restart the engine"
                )
            self._opened, self._stamps = self._opening(), stamps
        return self._opened

    def rest(self) -> None:
        """Give it up."""
        self._opened = None


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
