"""The steps that setting an editor up consists of.

Each says what it would change, changes it, and takes it back; done twice it changes nothing the
second time. What was there before is kept in a backup, and only what is ours is ever removed.
"""

import difflib
import filecmp
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from inference.errors import InklingError

BEGIN: Final = ">>> inkling >>>"
END: Final = "<<< inkling <<<"


class SetupError(InklingError):
    """An editor cannot be set up so; the message says what to do instead."""


@dataclass
class Backup:
    """Keeps what is about to be changed, under its own path, in a folder made when first needed."""

    folder: Path
    kept: list[Path] = field(default_factory=list[Path])

    def keep(self, path: Path) -> None:
        place = self.folder / path.absolute().relative_to(path.absolute().anchor)
        if place in self.kept:
            return  # what there was before is what counts
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, place, symlinks=True)
        else:
            shutil.copy2(path, place)
        self.kept.append(place)


class Step(Protocol):
    def change(self) -> str | None:
        """Return what it would change, None where all is as it should be."""
        ...

    def apply(self, backup: Backup) -> None: ...

    def removal(self) -> str | None:
        """Return what taking it back would change, None where nothing of it is there."""
        ...

    def remove(self, backup: Backup) -> None: ...


@dataclass(frozen=True)
class CopyFolder:
    """`destination`, which is ours alone, holds what `source` holds. A link there is the user's."""

    source: Path
    destination: Path

    def change(self) -> str | None:
        if self.destination.is_symlink() or _same(self.source, self.destination):
            return None
        verb = "replace" if self.destination.exists() else "copy"
        return f"{verb} {self.destination}"

    def apply(self, backup: Backup) -> None:
        self.destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.destination.parent) as folder:
            new = Path(folder) / self.destination.name
            shutil.copytree(self.source, new)
            if self.destination.exists():
                backup.keep(self.destination)
                shutil.rmtree(self.destination)
            new.rename(self.destination)

    def removal(self) -> str | None:
        is_there = self.destination.is_symlink() or self.destination.exists()
        return f"remove {self.destination}" if is_there else None

    def remove(self, backup: Backup) -> None:
        if self.destination.is_symlink():
            self.destination.unlink()
            return
        if not _same(self.source, self.destination):
            backup.keep(self.destination)
        shutil.rmtree(self.destination)


@dataclass(frozen=True)
class Link:
    """`place` leads to the program, unless something else is there already."""

    program: Path
    place: Path

    def change(self) -> str | None:
        is_there = self.place.exists() or self.place.is_symlink()
        return None if is_there else f"link {self.place} to {self.program}"

    def apply(self, backup: Backup) -> None:
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.place.symlink_to(self.program)

    def removal(self) -> str | None:
        is_ours = self.place.is_symlink() and self.place.readlink() == self.program
        return f"remove the link {self.place}" if is_ours else None

    def remove(self, backup: Backup) -> None:
        self.place.unlink()


@dataclass(frozen=True)
class WriteBlock:
    """A configuration file holds `text` between two comments that are ours; the rest is the user's.

    `comment` begins a comment in the file's language.
    """

    path: Path
    text: str
    comment: str

    def change(self) -> str | None:
        before = self._read()
        after = self._with_block(before)
        if before == after:
            return None
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
        verb = "change" if self.path.exists() else "create"
        return "\n".join([f"{verb} {self.path}", *list(lines)[2:]])

    def apply(self, backup: Backup) -> None:
        self._write(self._with_block(self._read()), backup)

    def removal(self) -> str | None:
        return f"take Inkling's lines out of {self.path}" if self._has_block() else None

    def remove(self, backup: Backup) -> None:
        rest = self.without()
        if rest.strip():
            self._write(rest, backup)
        else:
            backup.keep(self.path)
            self.path.unlink()

    def without(self) -> str:
        """Return what the file holds beside our block."""
        head, block, tail = self._parts(self._read())
        if block and head.endswith("\n\n"):
            head = head.removesuffix("\n")
        return head + tail

    def _has_block(self) -> bool:
        return self._parts(self._read())[1] != ""

    def _with_block(self, before: str) -> str:
        head, block, tail = self._parts(before)
        if head and not block:
            head += "\n" if head.endswith("\n") else "\n\n"
        new = f"{self.comment} {BEGIN}\n{self.text.strip()}\n{self.comment} {END}\n"
        return head + new + tail

    def _parts(self, text: str) -> tuple[str, str, str]:
        """Return what stands before our block, the block, and what stands behind it."""
        begin, end = f"{self.comment} {BEGIN}\n", f"{self.comment} {END}\n"
        if text.count(begin) != text.count(end) or text.count(begin) > 1:
            message = f"{self.path} has Inkling's comments, but not as one pair; please mend them"
            raise SetupError(message)
        if begin not in text:
            return text, "", ""
        head, rest = text.split(begin)
        if end not in rest:
            raise SetupError(f"{self.path}: {END} stands before {BEGIN}; please mend them")
        block, tail = rest.split(end)
        return head, begin + block + end, tail

    def _read(self) -> str:
        """Return the file with plain line ends, "" where there is none."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            message = f"cannot read {self.path} ({error}); nothing was changed; see --print"
            raise SetupError(message) from error

    def _write(self, text: str, backup: Backup) -> None:
        """Replace the file in one step. A link leads on to the file that it names."""
        path = self.path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        newline = "\n"
        if path.exists():
            backup.keep(path)
            newline = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline=newline) as file:
            file.write(text)
        shutil.copymode(path, name) if path.exists() else Path(name).chmod(0o644)
        Path(name).replace(path)


@dataclass(frozen=True)
class Run:
    """A command of the editor installs what we bring; another takes it away."""

    command: Sequence[str]
    undo: Sequence[str]
    is_done: Callable[[], bool]
    is_there: Callable[[], bool]

    def change(self) -> str | None:
        return None if self.is_done() else f"run {' '.join(self.command)}"

    def apply(self, backup: Backup) -> None:
        _run(self.command)

    def removal(self) -> str | None:
        return f"run {' '.join(self.undo)}" if self.is_there() else None

    def remove(self, backup: Backup) -> None:
        _run(self.undo)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(  # noqa: S603 - an editor's own command, found on PATH
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        last = [*done.stderr.strip().splitlines(), *done.stdout.strip().splitlines()][-1:]
        raise SetupError(f"{' '.join(command)} failed: {' '.join(last) or done.returncode}")


def _same(left: Path, right: Path) -> bool:
    """Say whether two folders hold the same files, byte by byte."""
    if not right.is_dir():
        return False
    names = {path.relative_to(left) for path in left.rglob("*") if path.is_file()}
    if names != {path.relative_to(right) for path in right.rglob("*") if path.is_file()}:
        return False
    _, different, unread = filecmp.cmpfiles(left, right, map(str, names), shallow=False)
    return not different and not unread
