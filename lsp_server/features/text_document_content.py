"""Answer `workspace/textDocumentContent`: what stands in a document that is no file."""

import logging
from typing import Final

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.protocol import refused
from lsp_server.server import Feature, InklingServer
from lsp_server.virtual_documents import SCHEME

log = logging.getLogger(__name__)


async def text_document_content(
    ls: InklingServer, params: types.TextDocumentContentParams
) -> types.TextDocumentContentResult:
    text = ls.virtual_documents.get(params.uri)
    if text is None:
        raise refused("there is no such text any more")
    return types.TextDocumentContentResult(text)


async def show_text(ls: InklingServer, path: str, text: str) -> str:
    """Hold a text, and have the client show it where it can; return its URI.

    `path` names it for the user: "explanation of f.md". One that is shown already is replaced.
    """
    uri = ls.virtual_documents.put(path, text)
    if not ls.client.shows_virtual_documents:
        return uri
    try:
        refresh = types.TextDocumentContentRefreshParams(uri)
        await ls.protocol.request(types.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH, refresh)
        if ls.client.shows_documents:
            document = types.ShowDocumentParams(uri, take_focus=True)
            await ls.protocol.request(types.WINDOW_SHOW_DOCUMENT, document)
    except JsonRpcException as error:
        log.info("the client does not show a text: %d", error.code)
    return uri


OPTIONS: Final = types.TextDocumentContentOptions(schemes=[SCHEME])

FEATURES: Final = (Feature(types.WORKSPACE_TEXT_DOCUMENT_CONTENT, OPTIONS, text_document_content),)
