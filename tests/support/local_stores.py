"""What other programs keep on a machine, made small: Ollama's store, the hub's cache."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.gguf_files import write_gguf_file
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint

LAYER = "application/vnd.ollama.image."
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def tiny_gguf(folder: Path, model: TinyModel) -> Path:
    """Write a tiny model as one GGUF file."""
    checkpoint = write_tiny_checkpoint(folder / f"{model.name}-checkpoint", model)
    return write_gguf_file(folder / f"{model.name}.gguf", checkpoint)


def pull(
    models: Path, place: str, file: Path, *, beside: tuple[str, ...] = (), **changes: Any
) -> Path:
    """Put a file where Ollama would have pulled it to; return its blob.

    `place` is HOST/NAMESPACE/NAME/TAG, `beside` are kinds of further layers, and `changes` are what
    the manifest says otherwise of the model's layer.
    """
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    blob = models / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, blob)
    layer = {
        "mediaType": f"{LAYER}model",
        "digest": f"sha256:{digest}",
        "size": blob.stat().st_size,
    }
    others = [
        {"mediaType": LAYER + kind, "digest": f"sha256:{'0' * 64}", "size": 1} for kind in beside
    ]
    write_manifest(models, place, {"schemaVersion": 2, "layers": [layer | changes, *others]})
    return blob


def write_manifest(models: Path, place: str, manifest: Mapping[str, Any] | str) -> Path:
    path = models / "manifests" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    path.write_text(text, "utf-8")
    return path


def fetched_repository(cache: Path, name: str) -> Path:
    """Return an empty snapshot of OWNER/NAME in the hub's cache, which main points at."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT, "utf-8")
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot
