"""Ask the client, once it is there, for what it tells only when it is asked."""

import logging
from typing import Final

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.features.configuration import pull_configuration
from lsp_server.features.loading import show_loading
from lsp_server.features.rehearsal import rehearse
from lsp_server.ignored import IGNORE_FILES
from lsp_server.profiles import ClientProfile
from lsp_server.server import Feature, InklingServer
from lsp_server.settings import SECTION

log = logging.getLogger(__name__)


def registrations(client: ClientProfile) -> list[types.Registration]:
    """Return what this client sends only to servers that register for it."""
    wanted = list[types.Registration]()
    if client.registers_configuration:
        method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
        wanted.append(types.Registration(method, method, {"section": SECTION}))
    if client.registers_watched_files:
        method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
        watchers = [{"globPattern": f"**/{name}"} for name in IGNORE_FILES]
        wanted.append(types.Registration(method, method, {"watchers": watchers}))
    return wanted


def initialized(ls: InklingServer, _params: types.InitializedParams) -> None:
    pull_configuration(ls, is_first=True)
    ls.spawn(show_loading(ls))
    ls.spawn(rehearse(ls))
    wanted = registrations(ls.client)
    if wanted:
        ls.spawn(_register(ls, wanted))


async def _register(ls: InklingServer, wanted: list[types.Registration]) -> None:
    params = types.RegistrationParams(wanted)
    try:
        await ls.protocol.request(types.CLIENT_REGISTER_CAPABILITY, params)
    except JsonRpcException as error:
        log.info("the client does not register what it offered: %d", error.code)


FEATURES: Final = (Feature(types.INITIALIZED, None, initialized),)
