"""What other programs have fetched on this machine, and whether it can be read.

Ollama, LM Studio, llama.cpp and the hub's client keep models in folders of their own. Headers and
small files are read there, within bounds; nothing is fetched, written, or run.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import platformdirs

from export.architectures import read_architecture
from export.checkpoint import ollama
from export.checkpoint.config import read_config
from export.checkpoint.gguf.architectures import find_architecture, read_values
from export.checkpoint.gguf.blocks import READ
from export.checkpoint.gguf.kinds import WHAT_IT_IS, other_kind
from export.checkpoint.gguf.layout import Layout
from export.checkpoint.gguf.parts import read_parts
from export.checkpoint.hub import cache_folder, hub_name, latest_snapshot
from export.checkpoint.recognition import CONFIG_FILE, is_gguf, refuse_folder
from export.errors import ExportError, UnsupportedError

MAX_FOUND: Final = 1000
"""The most files of one program that are looked at."""

Where = Literal["ollama", "lm-studio", "llama.cpp", "hub"]

_GGUF: Final = "*.gguf"
_LATER_PART: Final = re.compile(r".*-(?!00001)\d{5}-of-\d{5}\.gguf", re.IGNORECASE)


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """One model: `source` is what `inkling model add` takes, `num_bytes` what its weights take.

    `architecture` and `stored_as` are what its header or config says; `problem` is None where
    `family` reads it, as far as these tell.
    """

    where: Where
    source: str
    num_bytes: int
    kind: str = "model"
    architecture: str | None = None
    stored_as: str | None = None
    family: str | None = None
    problem: str | None = None


def local_models() -> list[Local]:
    """Return what is found, by program; one that is not there has none."""
    found = (
        _of_ollama(),
        _of_files("lm-studio", _lm_studio_folders(), "*/*"),
        _of_files("llama.cpp", [_llama_cpp_folder()], ""),
        _of_the_hub(cache_folder()),
    )
    return [model for part in found for model in islice(part, MAX_FOUND)]


def _of_ollama() -> Iterator[Local]:
    for folder in ollama.models_folders():
        for name, model in ollama.pulled(folder):
            source = f"{ollama.PREFIX}{name}"
            if isinstance(model, ExportError):
                yield Local(where="ollama", source=source, num_bytes=0, problem=str(model))
            else:
                yield _described("ollama", source, model.path)


def _of_files(where: Where, folders: Iterable[Path], depth: str) -> Iterator[Local]:
    """Describe GGUF files and checkpoints of folders so deep within a program's own."""
    for folder in folders:
        for inner in _found(folder, depth) if depth else [folder]:
            yield from _of_folder(where, inner)


def _of_folder(where: Where, folder: Path) -> Iterator[Local]:
    for path in _found(folder, _GGUF):
        if not _LATER_PART.fullmatch(path.name) and path.is_file():
            yield _described(where, str(path), path)
    if (folder / CONFIG_FILE).is_file():
        yield _checkpoint(where, str(folder), folder)


def _of_the_hub(cache: Path) -> Iterator[Local]:
    for repository in _found(cache, "models--*"):
        snapshot = latest_snapshot(repository)
        for model in () if snapshot is None else _of_folder("hub", snapshot):
            # The client finds a whole checkpoint by its name, also without a network.
            is_file = model.source.endswith(".gguf")
            name = None if is_file or snapshot is None else hub_name(snapshot)
            yield msgspec.structs.replace(model, source=name or model.source)


def _described(where: Where, source: str, path: Path) -> Local:
    """Say what a GGUF file is, by its header."""
    unread = Local(where=where, source=source, num_bytes=path.stat().st_size)
    try:
        if not is_gguf(path):
            raise UnsupportedError(f"{path} is no GGUF file")
        layout = read_parts(path)
    except ExportError as error:
        return msgspec.structs.replace(unread, problem=str(error))
    headers = layout.tensors.values()
    sizes = Counter[str]()
    for header in headers:
        sizes[header.kind.name] += header.size
    kind = other_kind(layout.metadata)
    family, problem = (None, WHAT_IT_IS[kind]) if kind else _family_of(layout)
    architecture: Any = layout.metadata.get("general.architecture")
    return msgspec.structs.replace(
        unread,
        num_bytes=sum(sizes.values()),
        kind=kind or "model",
        architecture=architecture if isinstance(architecture, str) else None,
        stored_as=max(sizes, key=lambda name: sizes[name], default=None),
        family=family,
        problem=problem,
    )


def _family_of(layout: Layout) -> tuple[str | None, str | None]:
    strange = {header.kind.name for header in layout.tensors.values() if header.kind not in READ}
    try:
        architecture, metadata = find_architecture(layout.metadata)
        family = read_values(architecture, metadata, layout.tensors)["model_type"]
    except ExportError as error:
        return None, str(error)
    if strange:
        return family, f"it stores tensors as {', '.join(sorted(strange))}, which is not read"
    return family, None


def _checkpoint(where: Where, source: str, folder: Path) -> Local:
    """Say what a checkpoint of safetensors is, by its config."""
    sizes = [path.stat().st_size for path in _found(folder, "*.safetensors")]
    unread = Local(where=where, source=source, num_bytes=sum(sizes))
    try:
        refuse_folder(folder)
        config = read_config(folder / CONFIG_FILE)
        known = msgspec.structs.replace(unread, architecture=config.text("model_type"))
        if not sizes:
            return msgspec.structs.replace(known, problem="its weights are not here")
        found = read_architecture(config)
    except ExportError as error:
        return msgspec.structs.replace(unread, problem=str(error))
    grouping = found.grouping
    dtype = config.spelling("dtype", "torch_dtype")
    return msgspec.structs.replace(
        known,
        stored_as=grouping.layout if grouping else config.text(dtype, default="safetensors"),
        family=found.family.model_type,
    )


def _found(folder: Path, pattern: str) -> list[Path]:
    """Return what matches, in order; nothing where the folder is closed to us or not there."""
    try:
        return sorted(islice(folder.glob(pattern), MAX_FOUND))
    except OSError:
        return []


def _lm_studio_folders() -> list[Path]:
    return [Path.home() / ".lmstudio" / "models", Path.home() / ".cache" / "lm-studio" / "models"]


def _llama_cpp_folder() -> Path:
    if named := os.environ.get("LLAMA_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(platformdirs.user_data_dir("llama.cpp", appauthor=False))
    return Path(platformdirs.user_cache_dir("llama.cpp", appauthor=False))
