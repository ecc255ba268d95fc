"""A log in a file of the user's alone (0600), put aside at 5 MB; four older ones stay."""

import contextlib
import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 5_000_000
NUM_OLD_FILES: Final = 4


class PrivateFileHandler(RotatingFileHandler):
    """Write to a file that only the user can read; where the disk is full, write nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MAX_FILE_BYTES, backupCount=NUM_OLD_FILES, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: the library would print the record's values to stderr."""

    def _open(self) -> TextIOWrapper:
        file = open(  # noqa: SIM115 - pathlib takes no opener; the handler closes it
            self.baseFilename, "a", encoding=self.encoding, opener=_private
        )
        assert isinstance(file, TextIOWrapper)
        return file


def _private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with contextlib.suppress(OSError, AttributeError):  # Windows has no modes
        os.fchmod(descriptor, 0o600)
    return descriptor
