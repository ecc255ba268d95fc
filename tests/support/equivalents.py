"""Families that transformers has no class for, as checkpoints of one that computes the same.

Each conversion follows the code that the owner published. It knows checkpoints' names and nothing
of our specs, slots and rules, so that it can judge them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.tiny_checkpoints import (
    TinyModel,
    random_tensors,
    write_json,
    write_shards,
    write_tiny_checkpoint,
)

Config = Mapping[str, Any]
Tensors = Mapping[str, npt.NDArray[np.float32]]
Equivalent = tuple[Config, Tensors]


def write_original(folder: Path, model: TinyModel) -> Path:
    """Write what transformers loads of a tiny model: itself, or its equivalent."""
    checkpoint = write_tiny_checkpoint(folder, model)
    convert = EQUIVALENTS.get(model.full_config["model_type"])
    if convert is not None:
        config, tensors = convert(model.full_config, random_tensors(model))
        write_json(checkpoint / "config.json", config)
        write_shards(checkpoint, {name: np.ascontiguousarray(t) for name, t in tensors.items()}, 1)
    return checkpoint


def kimi_as_deepseek(config: Config, tensors: Tensors) -> Equivalent:
    return {**config, "model_type": "deepseek_v3"}, tensors


EQUIVALENTS: Mapping[str, Callable[[Config, Tensors], Equivalent]] = {
    "kimi_k2": kimi_as_deepseek,
}
