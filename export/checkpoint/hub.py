"""The hub's own client, without what it would tell about this machine, and its cache.

CACHE/models--OWNER--NAME/refs/REVISION      the commit that the revision was
CACHE/models--OWNER--NAME/snapshots/COMMIT   its files, links into `blobs`
"""

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Final

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REPOSITORY: Final = "models--"


def hub_client() -> ModuleType:
    """Return `huggingface_hub`; importing it takes half a second, and only the hub needs it."""
    # Read when the client is imported; without it each request tells which other tools run here.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import huggingface_hub

    return huggingface_hub


def reason_of(error: Exception) -> str:
    """Return the first line of what the client, or a transport of its, says went wrong."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def cache_folder() -> Path:
    """Return where the client keeps what it fetched; it is asked itself only where it is used."""
    for variable, inside in (
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):
        if named := os.environ.get(variable):
            return Path(named).expanduser() / inside
    return Path.home() / ".cache" / "huggingface" / "hub"


def latest_snapshot(repository: Path) -> Path | None:
    """Return the snapshot of a repository's folder in the cache: that of main, or else the newest.

    None where the folder is none of the cache's, or nothing was fetched.
    """
    if not repository.name.startswith(_REPOSITORY) or not (repository / "snapshots").is_dir():
        return None
    main = repository / "refs" / "main"
    commit = main.read_text("utf-8", errors="replace").strip() if main.is_file() else ""
    if _COMMIT.fullmatch(commit) and (repository / "snapshots" / commit).is_dir():
        return repository / "snapshots" / commit
    snapshots = [path for path in (repository / "snapshots").iterdir() if path.is_dir()]
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)


def hub_name(folder: Path) -> str | None:
    """Return OWNER/NAME of a snapshot in the cache; None for any other folder."""
    repository = folder.absolute().parent.parent.name
    if folder.absolute().parent.name != "snapshots" or not repository.startswith(_REPOSITORY):
        return None
    return repository.removeprefix(_REPOSITORY).replace("--", "/", 1)
