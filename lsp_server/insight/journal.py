"""Keep records: the last 200 requests in memory, and all of them in a file of the user's own.

    <user's state folder>/inkling/journal.jsonl               one record a line
    <user's state folder>/inkling/journal-NANOSECONDS.jsonl   the newest four of those before it

Several servers may append at once: each write is one call with whole lines. Whoever finds the file
full gives it another name; where two do so at the same time, one of the two files is small.
A thread writes, so no disk ever stops the event loop. Where writing fails, one line in the log says
so, nothing more is written, and completions go on.
"""

import asyncio
import contextlib
import errno
import logging
import os
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Final

import platformdirs

from lsp_server.insight.records import (
    CANCELLED,
    Learned,
    Record,
    RequestRecord,
    decoded,
    encoded,
    hasher,
)

log = logging.getLogger(__name__)

SWITCH: Final = "INKLING_JOURNAL"
"""The environment variable that switches the file off: "off"."""

FILE_NAME: Final = "journal.jsonl"
TAIL_BYTES: Final = 64 << 10
"""Of the end of a file, in which what was learned is looked for."""

NUM_REMEMBERED: Final = 200
MAX_FILE_BYTES: Final = 5_000_000
NUM_OLD_FILES: Final = 4
MAX_LANGUAGE_CHARACTERS: Final = 40
CLOSING_SECONDS: Final = 0.2
"""How long the end of the process waits for the disk."""
MAX_WAITING: Final = 10_000
"""Records that wait for a disk; where it has stopped, later ones are not written."""


def state_folder() -> Path:
    return Path(platformdirs.user_state_dir("inkling", appauthor=False))


class Journal:
    """What one server remembers. Without a folder nothing is written.

    `enabled` says whether records can go to the file, and `is_wanted` whether the user's settings
    let them; the requests in memory are kept either way.
    """

    def __init__(self, folder: Path | None = None, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.is_wanted = True
        self.session = secrets.token_hex(4)
        self.requests: deque[RequestRecord] = deque(maxlen=NUM_REMEMBERED)
        self._folder = folder
        self._name_of = hasher(secrets.token_bytes(32))
        self._ordinal = 0
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._writer: threading.Thread | None = None

    @contextlib.contextmanager
    def asked(self, uri: str, language: str, trigger: str) -> Generator[RequestRecord]:
        """Record a request when the block ends, however it does; the block fills in the answer."""
        self._ordinal += 1
        start = time.perf_counter()
        record = RequestRecord(
            time=time.time(),
            session=self.session,
            ordinal=self._ordinal,
            document=self._name_of(uri),
            language=language[:MAX_LANGUAGE_CHARACTERS],
            trigger=trigger,
        )
        try:
            yield record
        except asyncio.CancelledError:
            record.outcome = CANCELLED
            raise
        finally:
            record.elapsed_ms = (time.perf_counter() - start) * 1000
            self.requests.append(record)
            self.record(record)

    def record(self, record: Record) -> None:
        """Have a record written. Never blocks and never raises."""
        if self._folder is None or not (self.enabled and self.is_wanted):
            return
        if self._writer is None:
            # A daemon: a disk that does not answer must not keep the process from leaving.
            self._writer = threading.Thread(
                target=self._write_all, args=(self._folder,), name="journal", daemon=True
            )
            self._writer.start()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(encoded(record))

    def learned(self) -> Learned | None:
        """Return what was learned by the last server that learned anything; reads little."""
        if self._folder is None or not self.enabled:
            return None
        for path in reversed(journal_files(self._folder)[-2:]):
            for line in reversed(_last_lines(path)):
                record = decoded(line)
                if isinstance(record, Learned):
                    return record
        return None

    def close(self) -> None:
        """Write what waits, as far as the disk takes it in time."""
        if self._writer is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(None)
            self._writer.join(CLOSING_SECONDS)

    def _write_all(self, folder: Path) -> None:
        is_open = True
        while is_open:
            lines = [self._waiting.get()]
            while not self._waiting.empty():
                lines.append(self._waiting.get())
            is_open = None not in lines
            try:
                append(folder, b"".join(line for line in lines if line is not None))
            except OSError as error:
                log.warning("nothing more is written to the journal: %s", error.strerror)
                self.enabled = False
                return


def open_journal(environment: Mapping[str, str] = os.environ) -> Journal:
    """Return the journal of this user, without a file where INKLING_JOURNAL is "off"."""
    return Journal(state_folder(), enabled=environment.get(SWITCH, "").lower() != "off")


def append(folder: Path, data: bytes) -> None:
    """Append whole lines to the journal of a folder. Raises OSError where it cannot."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE_NAME
    # A link in the place of the file leads elsewhere, where nobody expects this to be written.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        is_full = os.fstat(descriptor).st_size >= MAX_FILE_BYTES
    finally:
        os.close(descriptor)
    if is_full:
        _put_aside(path)


def read_journal(folder: Path) -> Iterator[Record]:
    """Yield what is written, oldest file first; lines that are no records are left out."""
    for path in journal_files(folder):
        with contextlib.suppress(FileNotFoundError):  # put aside meanwhile
            for line in path.read_bytes().splitlines():
                record = decoded(line)
                if record is not None:
                    yield record


def last_requests(folder: Path, number: int) -> list[RequestRecord]:
    """Return the newest requests of all servers, in their order."""
    found = [record for record in read_journal(folder) if isinstance(record, RequestRecord)]
    return sorted(found, key=lambda record: record.time)[-number:]


def _last_lines(path: Path) -> list[bytes]:
    """Return the lines at the end of a file, the first of them perhaps cut off."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read(TAIL_BYTES).splitlines()
    return []


def erase(folder: Path) -> int:
    """Remove all that is written; return how many files there were."""
    files = journal_files(folder)
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def journal_files(folder: Path) -> list[Path]:
    """Return the files of a folder's journal, oldest first."""
    current = folder / FILE_NAME
    return [*_old_files(folder), *([current] if current.is_file() else [])]


def _old_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("journal-*.jsonl"))


def _put_aside(path: Path) -> None:
    """Give a full file its own name, and remove the oldest of those that have one."""
    with contextlib.suppress(OSError):  # another server did so, or Windows has it open: later
        if path.stat().st_size >= MAX_FILE_BYTES:
            path.rename(path.with_name(f"journal-{time.time_ns():020}.jsonl"))
    for old in _old_files(path.parent)[:-NUM_OLD_FILES]:
        old.unlink(missing_ok=True)
