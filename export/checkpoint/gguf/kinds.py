"""GGUF files that hold no language model: what they are, by their metadata.

The keys are those of ggml's docs/gguf.md; `clip` is the architecture of llama.cpp's tools/mtmd.
"""

from collections.abc import Mapping
from typing import Any, Final

PROJECTOR: Final = "projector"
ADAPTER: Final = "adapter"

WHAT_IT_IS: Final[Mapping[str, str]] = {
    PROJECTOR: (
        "this is what sees or hears beside a language model (mmproj); give the language model's "
        "own file"
    ),
    ADAPTER: (
        "this is an adapter (LoRA), not a model; merge it first with llama-export-lora, and export "
        "the result"
    ),
}


def other_kind(metadata: Mapping[str, Any]) -> str | None:
    """Return which of WHAT_IT_IS a file is; None for a language model."""
    kind, architecture = metadata.get("general.type"), metadata.get("general.architecture")
    if kind in {"mmproj", "projector"} or architecture == "clip":
        return PROJECTOR
    return ADAPTER if kind == "adapter" or "adapter.type" in metadata else None
