"""The tensors that a family's own rules look for: its table read backwards.

A name that is wrong in the table is wrong here too, and then transformers does not find its tensor:
the golden logits of every family come from a load in which none was missing and none left over.
"""

from collections.abc import Mapping
from typing import Any

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.checkpoint.plan import origins, stored_shape
from export.spec.decoder import slots

Shape = tuple[int, ...]


def ruled_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """Return every tensor of a checkpoint with this config by name."""
    architecture = read_architecture(Config(config, "config.json"))
    needed = slots(architecture.spec)
    return {
        name: stored_shape(first.rule, needed[first.slot].shape[first.index is not None :])
        for name, (first, *_) in origins(architecture.rules, needed).items()
    }
