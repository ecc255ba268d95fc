"""Choose what stands behind the Engine protocol."""

from pathlib import Path

import msgspec

from inference.engine import Engine


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is a package folder; None means the model that ships with Inkling."""

    model: Path | None = None
    num_threads: int | None = None


def open_engine(options: EngineOptions) -> Engine:
    """Return an engine that is still loading; its process starts with the first await on it."""
    raise NotImplementedError(options)
