"""Put a package in its place, whole or not at all.

Everything is written to a folder beside the target, which takes its name at the very end: where the
system can, in one step that exchanges the two. Whatever interrupts before that, the target is as it
was and the folder beside it is removed. What a killed export left there, the next one removes: its
lock went with it.
A target that is not a package is never touched.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

from export.errors import PackageError
from inference.errors import InklingError
from inference.package.manifest import MANIFEST_FILE, read_manifest

_AT_FDCWD: Final = -100  # linux/fcntl.h
_RENAME_EXCHANGE: Final = 2  # linux/fs.h


@contextlib.contextmanager
def replacing(output: Path) -> Generator[Path]:
    """Yield an empty folder that becomes `output` when the block ends without an exception.

    Raises PackageError where `output` cannot be written or is something else than a package.
    """
    check_output(output)
    with contextlib.ExitStack() as stack:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(output)
            folder = _locked_folder(output, stack)
        except OSError as error:
            raise PackageError(f"cannot write to {output.parent}: {error.strerror}") from error
        try:
            yield folder
            folder.chmod(0o755)  # a temporary folder is private; a package is read by whoever may
            _swap(folder, output)
        except OSError as error:
            raise PackageError(f"cannot write {output}: {error.strerror or error}") from error


def check_output(output: Path) -> None:
    """Raise PackageError unless `output` is absent, an empty folder, or a package and no more."""
    if not output.exists() and not output.is_symlink():
        return
    if output.is_symlink() or not output.is_dir():
        raise PackageError(f"{output} is not a folder; choose another --output")
    present = {path.name for path in output.iterdir()}
    if not present:
        return
    try:
        known = {MANIFEST_FILE, *read_manifest(output).files}
    except InklingError as error:
        raise PackageError(
            f"{output} is not empty and not a package ({error}); choose another --output"
        ) from error
    if present - known:
        raise PackageError(
            f"{output} holds {min(present - known)}, which is no part of its package; "
            "move it away or choose another --output"
        )


def _swap(folder: Path, output: Path) -> None:
    """Give `folder` the name `output`; the package that had it gets the folder's, or goes away."""
    check_output(output)  # again: an export takes minutes
    if not output.exists():
        folder.rename(output)
        return
    if _exchange(folder, output):
        return
    retired = folder.with_name(f"{folder.name}-old")
    output.rename(retired)
    try:
        folder.rename(output)
    except BaseException:
        retired.rename(output)
        raise
    shutil.rmtree(retired)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step, renameat2(2). Return whether system and disk can."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False
    names = _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second)
    return renameat2(*names, _RENAME_EXCHANGE) == 0


def _locked_folder(output: Path, stack: contextlib.ExitStack) -> Path:
    """Make a folder beside `output` that goes with the stack, and that nobody removes before."""
    while True:
        folder = output.parent / f"{_prefix(output)}{secrets.token_hex(8)}"
        # First, since a signal may come between any two steps.
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        # Somebody who removes leftovers may have seen it before it was locked.
        if _lock(folder, stack) and folder.exists():
            return folder


def _remove_leftovers(output: Path) -> None:
    """Remove what killed exports left, but put a package back that was on its way out."""
    for folder in _partial_folders(output):
        with contextlib.ExitStack() as stack:
            if not _lock(folder, stack):
                continue
            if folder.name.endswith("-old") and not output.exists():
                folder.rename(output)
            else:
                shutil.rmtree(folder, ignore_errors=True)


def _partial_folders(output: Path) -> Iterator[Path]:
    for path in sorted(output.parent.iterdir()):
        is_ours = path.name.startswith(_prefix(output)) and not path.is_symlink()
        if is_ours and path.is_dir() and sys.platform != "win32":
            yield path


def _prefix(output: Path) -> str:
    return f".{output.name}.partial-"


def _lock(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Lock a folder until the stack ends, or the process does. Return whether it was free."""
    if sys.platform == "win32":  # no folder can be locked, so none is ever taken for a leftover
        return True
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
