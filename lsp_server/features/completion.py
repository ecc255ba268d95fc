"""Answer `textDocument/completion` for clients that have a menu and no ghost text."""

from typing import Final

from lsprotocol import types

from lsp_server.convert import completion_list, no_completions
from lsp_server.features.suggestion import suggest
from lsp_server.policy.gate import Trigger
from lsp_server.server import Feature, InklingServer


async def completion(ls: InklingServer, params: types.CompletionParams) -> types.CompletionList:
    if ls.client.shows_inline_completion:
        return no_completions()
    suggestion = await suggest(ls, params.text_document.uri, params.position, Trigger.MENU)
    return completion_list(*suggestion[:3]) if suggestion else no_completions()


OPTIONS: Final = types.CompletionOptions(trigger_characters=[".", "(", "[", "="])

FEATURES: Final = (Feature(types.TEXT_DOCUMENT_COMPLETION, OPTIONS, completion),)
