"""Show that the model is being loaded, where that takes long enough to wonder."""

import asyncio
from typing import Final

from lsp_server.features.configuration import apply_settings
from lsp_server.features.progress import progress
from lsp_server.lifecycle import Phase
from lsp_server.server import InklingServer

CANCELLED: Final = "loading was cancelled; the command inkling.resume loads the model and goes on"


async def show_loading(ls: InklingServer) -> None:
    """Show progress until the engine is ready or has failed.

    To cancel it gives the model up, and pauses: the next request would load it again.
    """
    try:
        async with progress(ls, "Inkling: loading the model"):
            await ls.engine.wait_ready()
    except asyncio.CancelledError:
        if ls.lifecycle.phase is Phase.RUNNING:
            ls.sources.override({"enable": False})
            apply_settings(ls)
            ls.engine.stop(CANCELLED)
        raise
