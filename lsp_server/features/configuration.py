"""Take settings from `initializationOptions` and `workspace/didChangeConfiguration`."""

from typing import Final

from lsprotocol import types

from lsp_server.server import Feature, InklingServer
from lsp_server.settings import parse, section_of


def configure(ls: InklingServer, raw: object) -> None:
    """Set what makes sense; show once what does not. What changes may be why the engine failed."""
    before = ls.settings
    ls.settings, problems = parse(raw, before)
    if ls.settings != before:
        ls.engine.retry()
    ls.show_once(types.MessageType.Warning, "; ".join(problems))


def did_change_configuration(ls: InklingServer, params: types.DidChangeConfigurationParams) -> None:
    configure(ls, section_of(params.settings))


FEATURES: Final = (
    Feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION, None, did_change_configuration),
)
