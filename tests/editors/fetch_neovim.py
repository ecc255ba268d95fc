"""Unpack the Neovim of another Debian suite beside the system's.

Run: python -m tests.editors.fetch_neovim

The mirror is the one that this machine's apt asks already, and the keys are the ones it trusts. The
packages go into a folder of the user's cache, with the C library they were built for; `patchelf`
points the program at that, so that `v:progpath` stays true. Nothing of the system changes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import platformdirs

SUITES: Final = {"0.10": "trixie", "0.12": "sid"}
"""The suite that has a version, where this machine's own may not."""

CACHE: Final = Path(platformdirs.user_cache_dir("inkling-tests")) / "neovim"

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
    """The suite cannot be had here; the message says why."""


def executable(suite: str) -> Path:
    return CACHE / suite / "usr" / "bin" / "nvim"


def fetch(suite: str) -> Path:
    """Return Neovim's program of `suite`, fetched where it is not here yet.

    Raises UnavailableError where that cannot be.
    """
    program = executable(suite)
    if program.is_file():
        return program
    for tool in ("apt-get", "dpkg-deb", "patchelf"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="apt-", dir=CACHE) as folder:
        root, unpacked = Path(folder), Path(folder) / "unpacked"
        for package in _download(suite, root):
            _run("dpkg-deb", "-x", str(package), str(unpacked))
        _relocate(unpacked, CACHE / suite)
        shutil.rmtree(CACHE / suite, ignore_errors=True)
        unpacked.rename(CACHE / suite)
    return program


def _download(suite: str, root: Path) -> list[Path]:
    site = _mirror()
    for name in ("state/lists/partial", "cache/archives/partial"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    signed_by = f" [signed-by={KEYRING}]" if KEYRING.is_file() else ""
    (root / "sources.list").write_text(f"deb{signed_by} {site} {suite} main\n")
    configuration = root / "apt.conf"
    configuration.write_text(APT_CONFIGURATION.format(root=root))
    environment = {**os.environ, "APT_CONFIG": str(configuration)}
    _run("apt-get", "update", "-qq", "--error-on=any", env=environment)
    _run("apt-get", "install", "-qq", "-y", "--download-only", "neovim", env=environment)
    return sorted((root / "cache" / "archives").glob("*.deb"))


def _mirror() -> str:
    """Return where this machine's apt finds Debian itself."""
    fields = "$(SITE)|$(COMPONENT)|$(ORIGIN)|$(RELEASE)"
    listing = _run("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    for line in listing.splitlines():
        site, component, origin, release = line.split("|")
        if component == "main" and origin == "Debian" and "-" not in release:
            return site
    raise UnavailableError("apt knows no Debian mirror here")


def _relocate(unpacked: Path, destination: Path) -> None:
    """Point the program at the C library beside it, as it lies in `destination` later."""
    loader = next(unpacked.glob("**/ld-linux-*.so.*"), None)
    if loader is None:
        raise UnavailableError("the packages hold no loader for this machine")
    # The suites' /lib is a link into /usr on a system, which unpacking does not make.
    folders = {path.parent.relative_to(unpacked) for path in unpacked.glob("**/*.so.*")}
    libraries = ":".join(str(destination / folder) for folder in sorted(folders))
    _run(
        *("patchelf", "--set-interpreter", str(destination / loader.relative_to(unpacked))),
        *("--force-rpath", "--set-rpath", libraries, str(unpacked / "usr" / "bin" / "nvim")),
    )


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise UnavailableError(f"{' '.join(command[:2])}: {last[0]}")
    return done.stdout


if __name__ == "__main__":
    for version, suite in SUITES.items():
        try:
            print(f"neovim {version}: {fetch(suite)}")  # noqa: T201
        except UnavailableError as error:
            print(f"neovim {version}: not here, {error}", file=sys.stderr)  # noqa: T201
