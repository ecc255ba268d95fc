"""What Ollama has pulled, found where it keeps it; nothing is fetched, and nothing written there.

    MODELS/manifests/HOST/NAMESPACE/NAME/TAG    JSON: layers with media type, digest and size
    MODELS/blobs/sha256-HEX                     a layer; that of a model is a GGUF file

(github.com/ollama/ollama, types/model/name.go and manifest/manifest.go.) Names are shortened as
Ollama shortens them: its own registry, its library and the tag "latest" are left out.
"""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec

from export.checkpoint.config import read_json
from export.errors import CheckpointError, ExportError, UnsupportedError
from inference.package.manifest import file_entry

PREFIX: Final = "ollama:"
MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_MANIFESTS: Final = 1000

_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LAYER: Final = "application/vnd.ollama.image."


class _Layer(msgspec.Struct):
    media_type: str = msgspec.field(name="mediaType")
    digest: Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
    size: Annotated[int, msgspec.Meta(ge=0)]


class _Manifest(msgspec.Struct):
    layers: list[_Layer] | None = None


class OllamaModel(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is the GGUF file, which should have this SHA-256; `name` is what Ollama calls it."""

    name: str
    path: Path
    sha256: str
    has_projector: bool

    def check(self) -> None:
        """Raise CheckpointError where the file is not the one that was pulled."""
        if file_entry(self.path).sha256 != self.sha256:
            raise CheckpointError(
                f"{self.path} is not what its name says; pull {self.name} again with Ollama"
            )


def models_folders() -> list[Path]:
    """Return where Ollama keeps models: where the user says, or else a user's or a service's."""
    named = os.environ.get("OLLAMA_MODELS")
    folders = [
        *([Path(named)] if named else []),
        Path.home() / ".ollama" / "models",
        Path("/usr/share/ollama/.ollama/models"),
        Path("/var/lib/ollama/models"),
    ]
    return [folder for folder in dict.fromkeys(folders) if _is_folder(folder / "manifests")]


def find_model(name: str) -> OllamaModel:
    """Return the model of a name as Ollama takes it, with or without a tag.

    Raises CheckpointError where it was not pulled or its files are damaged, UnsupportedError where
    it is no single GGUF file.
    """
    place = Path(*_parts(name))
    for folder in models_folders():
        if _is_file(folder / "manifests" / place):
            return _read(folder, place)
    looked = ", ".join(map(str, models_folders())) or "no folder of Ollama's, for there is none"
    raise CheckpointError(
        f"Ollama has not pulled {name} (looked at {looked}); `inkling model list --local` shows "
        "what is here"
    )


def pulled(folder: Path) -> Iterator[tuple[str, OllamaModel | ExportError]]:
    """Return what each manifest of a models folder names, or why it cannot be had."""
    manifests = folder / "manifests"
    paths = (path for path in sorted(manifests.glob("*/*/*/*")) if _is_file(path))
    for path in islice(paths, MAX_MANIFESTS):
        place = path.relative_to(manifests)
        try:
            yield _shortened(place), _read(folder, place)
        except ExportError as error:
            yield _shortened(place), error


def _parts(name: str) -> list[str]:
    """Return host, namespace, name and tag, each a single part of a path."""
    stem, colon, tag = name.rpartition(":")
    stem, tag = (stem, tag) if colon and "/" not in tag else (name, _TAG)
    parts = stem.split("/")
    defaults = [_HOST, _NAMESPACE][: max(0, 3 - len(parts))]
    found = [*defaults, *parts, tag]
    if len(found) != 4 or not all(_PART.fullmatch(part) for part in found):
        raise CheckpointError(f"{name!r} is no name of Ollama's; give NAME or NAME:TAG")
    return found


def _shortened(place: Path) -> str:
    host, namespace, name, tag = place.parts
    shown = [host, namespace, name] if host != _HOST else [namespace, name]
    shown = shown if shown != [_NAMESPACE, name] else [name]
    return f"{'/'.join(shown)}:{tag}"


def _read(folder: Path, place: Path) -> OllamaModel:
    name = _shortened(place)
    manifest = folder / "manifests" / place
    layers = read_json(manifest, _Manifest, max_bytes=MAX_MANIFEST_BYTES).layers or []
    kinds = [layer.media_type.removeprefix(_LAYER).partition(";")[0] for layer in layers]
    if "adapter" in kinds:
        raise UnsupportedError(
            f"{name} is a model with an adapter (LoRA) beside it; export its model and merge first"
        )
    models = [layer for layer, kind in zip(layers, kinds, strict=True) if kind == "model"]
    if len(models) != 1:
        what = "tensors one by one" if "tensor" in kinds else f"{len(models)} files of weights"
        raise UnsupportedError(f"{name} is stored as {what}; only a single GGUF file is read")
    digest = models[0].digest.removeprefix("sha256:")
    path = folder / "blobs" / f"sha256-{digest}"
    if not _is_file(path):
        raise CheckpointError(f"{path} is missing; pull {name} again with Ollama")
    if path.stat().st_size != models[0].size:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes instead of {models[0].size}; pull {name} "
            "again with Ollama"
        )
    return OllamaModel(name=name, path=path, sha256=digest, has_projector="projector" in kinds)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a service's folder may be closed to us
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
