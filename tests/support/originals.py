"""What the small files of a checkpoint say, made of a config alone: there are no files."""

from pathlib import Path
from typing import Any

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.checkpoint.source import CheckpointSource
from export.original import Original
from export.package.manifest import Identity
from inference.package.manifest import Source
from tests.support.tiny_checkpoints import TinyModel


def original(**config: Any) -> Original:
    """Return a tiny model with some keys of its config changed; its weights cannot be opened."""
    found = read_architecture(Config(TinyModel("tiny", 1, config).full_config, "config.json"))
    identity = Identity(
        name="tiny",
        source=Source(name="tiny", revision=None),
        model_type=found.family.model_type,
        context_length=64,
        eos_token_ids=(0,),
        fim=None,
        leading_token_ids=(),
    )
    source = CheckpointSource(name="tiny", revision=None, folder=Path(), open_weights=_refuse)
    return Original(source=source, architecture=found, identity=identity)


def _refuse(grouping: object) -> Any:
    raise AssertionError("there are no weights")
