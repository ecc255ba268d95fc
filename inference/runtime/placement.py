"""Where a graph runs, and what its caches keep there."""

from collections.abc import Mapping
from typing import Final

import msgspec

from inference.package.manifest import Architecture, Device, Recurrent


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a graph runs: the provider of its kernels, and the memory that its caches lie in.

    `aliases`: that memory is numpy's own, and so are all that is bound.
    """

    provider: str
    options: Mapping[str, str]
    memory: str
    aliases: bool


PLACEMENTS: Final[Mapping[Device, Placement]] = {
    "cpu": Placement(provider="CPUExecutionProvider", options={}, memory="cpu", aliases=True),
    "cuda": Placement(
        provider="CUDAExecutionProvider",
        # Routers are float32 on purpose. What a model needs is all that is taken of the memory.
        options={"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"},
        memory="cuda",
        aliases=False,
    ),
}


def kept_by(placement: Placement, architecture: Architecture) -> Architecture:
    """Return an architecture as its caches keep it there.

    On a GPU every layer keeps all tokens. Hidden states are kept where a predictor reads them: on
    a CPU, and where what is guessed can be forgotten, which a state cannot.
    """
    if not placement.aliases:
        architecture = architecture.without_windows()
    has_states = any(isinstance(kind, Recurrent) for kind in architecture.kinds_of_layers)
    if has_states or not placement.aliases:
        return msgspec.structs.replace(architecture, predictor=None)
    return architecture


def why_no_gpu(reason: str) -> str:
    """Say what to do where a library said why it finds no GPU."""
    if "not available" in reason:
        return (
            "CUDA's libraries cannot be loaded; install them with pip install 'inkling-lsp[cuda]', "
            "or leave --device out"
        )
    shown = reason.partition("\n")[0][:200]
    return f"no GPU answers ({shown}); see to NVIDIA's driver, or leave --device out"
