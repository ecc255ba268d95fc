"""Tiny checkpoints that hold a layer which predicts the token behind the next one."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from export.architectures import CheckpointArchitecture, read_architecture
from export.architectures.common.predicting import Predictor
from export.checkpoint.config import Config
from export.checkpoint.plan import origins, stored_shape
from export.pipeline import export_checkpoint
from export.spec.decoder import slots
from inference.package.manifest import ModelManifest
from tests.support.exported import no_progress, tiny_options
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint
from tests.support.tiny_families import FAMILY_MODELS

PREDICTING: Final = {
    model.name: model
    for model in FAMILY_MODELS
    if model.name
    in {
        *("mellum", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"),
        *("deepseek_v3", "glm4_moe", "glm4_moe_lite", "mimo"),
    }
}
"""One of each family whose checkpoints may hold such a layer."""

SHARED: Final = frozenset({"embedding", "head"})


def architecture_of(model: TinyModel) -> tuple[CheckpointArchitecture, Predictor]:
    architecture = read_architecture(Config(model.full_config, "config.json"))
    assert architecture.predictor is not None
    return architecture, architecture.predictor


def predictor_tensors(model: TinyModel) -> dict[str, npt.NDArray[np.float32]]:
    """Return random tensors of the layer, by the names that its rules look for."""
    _, predictor = architecture_of(model)
    needed = {name: slot for name, slot in slots(predictor.spec).items() if name not in SHARED}
    random = np.random.default_rng(model.seed + 1)
    found: dict[str, Any] = {}
    for name, (first, *_) in origins(predictor.rules, needed).items():
        shape = stored_shape(first.rule, needed[first.slot].shape[first.index is not None :])
        values = random.standard_normal(shape, np.float32)
        is_norm = needed[first.slot].role == "norm"
        size = np.float32(1.2 / np.sqrt(shape[-1]))
        found[name] = 1 + np.float32(0.2) * values if is_norm else values * size
    return found


def write_predicting(folder: Path, model: TinyModel) -> Path:
    """Write a checkpoint with the layer; return the folder."""
    write_tiny_checkpoint(folder, model)
    path = folder / "model.safetensors"
    save_file(load_file(path) | predictor_tensors(model), path, metadata={"format": "pt"})
    return folder


def export_predicting(folder: Path, model: TinyModel, **options: Any) -> tuple[Path, ModelManifest]:
    checkpoint, package = write_predicting(folder / "checkpoint", model), folder / "package"
    wanted = tiny_options(**{"precision": "f32", **options})
    manifest = export_checkpoint(str(checkpoint), package, wanted, progress=no_progress)
    return package, manifest
