"""Answer `textDocument/completion` for clients that have a menu and no ghost text."""

from typing import Final

from lsprotocol import types

from inference import language_for, trigger_characters
from lsp_server.convert import completion_list, document_item, no_completions
from lsp_server.features.suggestion import suggest
from lsp_server.policy.gate import Trigger
from lsp_server.server import Feature, InklingServer


async def completion(ls: InklingServer, params: types.CompletionParams) -> types.CompletionList:
    uri = params.text_document.uri
    if ls.client.shows_inline_completion or not _is_trigger(ls, uri, params.context):
        return no_completions()
    suggestion = await suggest(ls, uri, params.position, Trigger.MENU)
    if suggestion is None:
        return no_completions()
    document, offset, completion, _ = suggestion
    return completion_list(document, offset, completion, ls.client)


async def resolve(_ls: InklingServer, item: types.CompletionItem) -> types.CompletionItem:
    document_item(item)
    return item


def _is_trigger(ls: InklingServer, uri: str, context: types.CompletionContext | None) -> bool:
    """Return whether something begins here: a client is told the characters of all languages."""
    document = ls.documents.get(uri)
    if document is None or context is None or not context.trigger_character:
        return True
    return context.trigger_character in language_for(document.language_id).trigger_characters


OPTIONS: Final = types.CompletionOptions(
    trigger_characters=trigger_characters(), resolve_provider=True
)

FEATURES: Final = (
    Feature(types.TEXT_DOCUMENT_COMPLETION, OPTIONS, completion),
    Feature(types.COMPLETION_ITEM_RESOLVE, None, resolve),
)
