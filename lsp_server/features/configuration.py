"""Take settings by all three ways: with `initialize`, when they change, and by asking for them."""

import logging
from typing import Final, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.server import Feature, InklingServer
from lsp_server.settings import SECTION
from lsp_server.sources import Source, is_nothing, section_of

log = logging.getLogger(__name__)


def configure(ls: InklingServer, source: Source, raw: object) -> None:
    """Set what makes sense; show once what does not."""
    problems = ls.sources.take(source, raw)
    apply_settings(ls)
    ls.show_once(types.MessageType.Warning, "; ".join(problems))


def apply_settings(ls: InklingServer) -> None:
    """Have what the sources say hold. What changes may be why the engine failed."""
    before, ls.settings = ls.settings, ls.sources.settings
    ls.journal.is_wanted = ls.settings.statistics
    if ls.settings.other_texts is not before.other_texts:
        ls.survey()
    if ls.settings != before:
        ls.engine.retry()


def pull_configuration(ls: InklingServer, *, is_first: bool = False) -> None:
    """Ask the client for our settings, where it can be asked; only the newest answer counts."""
    stop_pulling(ls)
    if ls.client.answers_configuration:
        ls.pull = ls.spawn(_pull(ls, is_first=is_first))


def stop_pulling(ls: InklingServer) -> None:
    if ls.pull is not None:
        ls.pull.cancel()
        ls.pull = None


async def _pull(ls: InklingServer, *, is_first: bool) -> None:
    params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
    try:
        answer = await ls.protocol.request(types.WORKSPACE_CONFIGURATION, params)
    except JsonRpcException as error:
        log.info("the client does not tell its settings: %d", error.code)
        return
    sections = cast("list[object]", answer) if isinstance(answer, list) else []
    section = sections[0] if sections else None
    # Some clients push what stands in no section, and find none when they are asked for it.
    if not (is_first and is_nothing(section)):
        configure(ls, Source.CONFIGURATION, section)


def did_change_configuration(ls: InklingServer, params: types.DidChangeConfigurationParams) -> None:
    """Take what was pushed; where that is nothing of ours, it is to be asked for."""
    section = section_of(params.settings)
    if is_nothing(section) and ls.client.answers_configuration:
        pull_configuration(ls)
    else:
        stop_pulling(ls)
        configure(ls, Source.CONFIGURATION, section)


FEATURES: Final = (
    Feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION, None, did_change_configuration),
)
