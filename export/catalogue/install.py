"""Add a model: fetch, export, check, and put it where the engine finds it; or take it away."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from export.catalogue.download import download, forget
from export.catalogue.entries import Entry, find_entry
from export.checkpoint.ollama import PREFIX
from export.checkpoint.source import GGUF_SUFFIX
from export.errors import CheckpointError
from export.options import ExportOptions
from export.pipeline import Remark, export_checkpoint, without_remark
from inference.errors import ModelNotFoundError
from inference.package.manifest import ModelManifest
from inference.package.store import checked_name, chosen, installed_folder, models_folder

DISK_SHARE: Final = 1.1
"""Room for what is written beside what is already there."""

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")

Report = Callable[[str, int, int], None]
"""Called with what is being done, how far it is and how far it goes."""


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` by stage: fetching, exporting with its checks."""

    name: str
    folder: Path
    manifest: ModelManifest
    seconds: dict[str, float]


def add_model(
    source: str,
    options: ExportOptions | None = None,
    *,
    name: str | None = None,
    report: Report,
    remark: Remark = without_remark,
) -> Added:
    """Install a model of the catalogue, or whatever else export takes, under a name.

    `remark` is called with what the export says of it, a line each.
    Raises ModelNotFoundError for a name that nobody knows, CheckpointError where the file cannot
    be had or does not fit this machine, and what export raises. What was installed stays.
    """
    entry = find_entry(source)
    if entry is None and not _could_be_source(source):
        raise ModelNotFoundError(
            f"there is no model {source} in the catalogue, and no such file or folder; "
            "`inkling model list` shows the names"
        )
    target = checked_name(name or (entry.name if entry else default_name(source)))
    if entry is not None:
        check_fits(entry)
    seconds: dict[str, float] = {}
    started = time.monotonic()
    given = source if entry is None else _fetched(entry, report)
    seconds["fetch"] = time.monotonic() - started
    chosen_options = options or (entry.options() if entry else ExportOptions())
    chosen_options = msgspec.structs.replace(chosen_options, name=target)
    started = time.monotonic()
    folder = models_folder() / target
    manifest = export_checkpoint(
        given,
        folder,
        chosen_options,
        progress=lambda done, total: report("export", done, total),
        remark=remark,
    )
    seconds["export"] = time.monotonic() - started
    if entry is not None:
        forget(entry)
    return Added(name=target, folder=folder, manifest=manifest, seconds=seconds)


def default_name(source: str) -> str:
    """Return what a source is called where the user does not say: its last part, as a name.

    "Owner/Name-0.5B", "Name.Q4_K_M.gguf" and "ollama:name:0.5b" have dots of their own.
    """
    last = source.removeprefix(PREFIX).rstrip("/").rpartition("/")[2]
    stem = last[: -len(GGUF_SUFFIX)] if last.lower().endswith(GGUF_SUFFIX) else last
    return _NO_NAME.sub("-", stem).strip("-.")


def remove_model(name: str) -> bool:
    """Remove an installed model; return whether it was the one that answered.

    Raises ModelNotFoundError where it is not installed.
    """
    folder = installed_folder(name)
    if folder is None:
        raise ModelNotFoundError(f"no model {name} is installed")
    # First out of sight, so that nobody finds half a package.
    hidden = folder.with_name(f".{name}.removed-{os.getpid()}")
    folder.rename(hidden)
    shutil.rmtree(hidden)
    return chosen() == name


def check_fits(entry: Entry) -> None:
    """Raise CheckpointError where disk or memory cannot hold a model."""
    needed_memory, memory = entry.memory << 20, total_memory()
    if memory is not None and needed_memory > memory * 0.8:
        raise CheckpointError(
            f"{entry.name} needs {entry.memory / 1024:.1f} GiB of memory, and this machine has "
            f"{memory / 2**30:.1f}; choose a smaller one of `inkling model list`"
        )
    package = needed_memory
    needed = int(DISK_SHARE * ((entry.bytes or 2 * entry.parameters) + package))
    folder = models_folder()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"{entry.name} needs {needed / 1e9:.1f} GB of disk while it is added, and "
            f"{folder} has {free / 1e9:.1f}; make room"
        )


def total_memory() -> int | None:
    """Return the machine's memory in bytes; None where the system does not say."""
    if sys.platform == "win32":
        return None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _fetched(entry: Entry, report: Report) -> str:
    if entry.hub.file is None:
        return entry.hub.repository  # which export fetches itself, file by file
    path = download(entry, advance=lambda done, total: report("fetch", done, total))
    return str(path)


def _could_be_source(source: str) -> bool:
    return source.startswith(PREFIX) or "/" in source or Path(source).exists()
