"""Begin a session: learn who the client is, and load the model once `initialize` is answered."""

import asyncio
from collections.abc import Mapping
from typing import Final

from lsprotocol import types

from lsp_server.documents import Documents
from lsp_server.features.configuration import configure
from lsp_server.features.status import follow_status
from lsp_server.features.workspace import folders_of
from lsp_server.profiles import client_profile
from lsp_server.server import Feature, InklingServer
from lsp_server.sources import Source


def initialize(ls: InklingServer, params: Mapping[str, object]) -> None:
    """Take the parameters as plain JSON, see profiles.py."""
    ls.client = client_profile(params)
    ls.documents = Documents(ls.client.position_encoding)
    ls.workspace_folders = folders_of(params)
    configure(ls, Source.OPTIONS, params.get("initializationOptions"))
    if ls.client.process_id is not None:
        ls.lifecycle.follow(ls.client.process_id)
    follow_status(ls, params)
    # On the loop's next turn the answer is on its way; starting a process must not delay it.
    asyncio.get_running_loop().call_soon(ls.start_engine)


FEATURES: Final = (Feature(types.INITIALIZE, None, initialize),)
