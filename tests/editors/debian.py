"""Unpack programs of another Debian suite beside the system's.

The mirror is the one that this machine's apt asks already, and the keys are the ones it trusts. The
packages go into a folder of the user's cache, with the C library they were built for; `patchelf`
points the program at that, so that it still knows its own path. Nothing of the system changes.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import platformdirs

CACHE: Final = Path(platformdirs.user_cache_dir("inkling-tests")) / "debian"

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

APT_CONFIGURATION: Final = """\
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
"""
"""A mirror that stands still serves a suite longer than that is valid; its signature is checked."""


class UnavailableError(Exception):
    """What was asked for cannot be had here; the message says why."""


def fetch(suite: str, package: str, program: str = "") -> Path:
    """Return the folder that a package of `suite` and all it depends on are unpacked in.

    `program` is a path inside of it that shall run here. Raises UnavailableError where there can be
    no such folder.
    """
    destination = CACHE / suite / package
    if destination.is_dir():
        return destination
    for tool in ("apt-get", "dpkg-deb", "patchelf"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is not installed")
    with _apt(suite) as root:
        unpacked = root / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        for archive in _download(package, root):
            _run("dpkg-deb", "-x", str(archive), str(unpacked))
        if program:
            _relocate(unpacked, program, destination)
        if not destination.is_dir():
            unpacked.rename(destination)
    return destination


@contextmanager
def _apt(suite: str) -> Iterator[Path]:
    """Hold a folder in which apt knows this suite and nothing as installed; one at a time does."""
    root = CACHE / suite / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    signed_by = f" [signed-by={KEYRING}]" if KEYRING.is_file() else ""
    (root / "sources.list").write_text(f"deb{signed_by} {_mirror()} {suite} main\n")
    (root / "apt.conf").write_text(APT_CONFIGURATION.format(root=root))
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root


def _download(package: str, root: Path) -> list[Path]:
    environment = {**os.environ, "APT_CONFIG": str(root / "apt.conf")}
    archives = root / "cache" / "archives"
    for old in archives.glob("*.deb"):
        old.unlink()
    _run("apt-get", "update", "-qq", "--error-on=any", env=environment)
    _run("apt-get", "install", "-qq", "-y", "--download-only", package, env=environment)
    return sorted(archives.glob("*.deb"))


def _mirror() -> str:
    """Return where this machine's apt finds Debian itself."""
    fields = "$(SITE)|$(COMPONENT)|$(ORIGIN)|$(RELEASE)"
    listing = _run("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    for line in listing.splitlines():
        site, component, origin, release = line.split("|")
        if component == "main" and origin == "Debian" and "-" not in release:
            return site
    raise UnavailableError("apt knows no Debian mirror here")


def _relocate(unpacked: Path, program: str, destination: Path) -> None:
    """Point the program at the C library beside it, as it lies in `destination` later."""
    loader = next(unpacked.glob("**/ld-linux-*.so.*"), None)
    if loader is None:
        raise UnavailableError("the packages hold no loader for this machine")
    # The suites' /lib is a link into /usr on a system, which unpacking does not make.
    folders = {path.parent.relative_to(unpacked) for path in unpacked.glob("**/*.so.*")}
    libraries = ":".join(str(destination / folder) for folder in sorted(folders))
    _run(
        *("patchelf", "--set-interpreter", str(destination / loader.relative_to(unpacked))),
        *("--force-rpath", "--set-rpath", libraries, str(unpacked / program)),
    )


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise UnavailableError(f"{' '.join(command[:2])}: {last[0]}")
    return done.stdout
