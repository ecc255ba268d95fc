"""The hub's own client, without what it would tell about this machine."""

import os
from types import ModuleType


def hub_client() -> ModuleType:
    """Return `huggingface_hub`; importing it takes half a second, and only the hub needs it."""
    # Read when the client is imported; without it each request tells which other tools run here.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import huggingface_hub

    return huggingface_hub


def reason_of(error: Exception) -> str:
    """Return the first line of what the client, or a transport of its, says went wrong."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
