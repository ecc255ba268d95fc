"""Follow what the client's documents hold."""

from typing import Final

from lsprotocol import types

from lsp_server.features.feedback import document_changed
from lsp_server.server import Feature, InklingServer
from lsp_server.structuring import UNVERSIONED


def did_open(ls: InklingServer, params: types.DidOpenTextDocumentParams) -> None:
    ls.documents.open(params.text_document)
    ls.read_ahead(params.text_document.uri)


def did_change(ls: InklingServer, params: types.DidChangeTextDocumentParams) -> None:
    document = params.text_document
    before = ls.lines_of(document.uri)
    version = None if document.version == UNVERSIONED else document.version
    ls.documents.change(document.uri, version, params.content_changes)
    document_changed(ls, document.uri, before, params.content_changes)


def did_close(ls: InklingServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.documents.close(params.text_document.uri)
    ls.feedback.closed(params.text_document.uri)


FEATURES: Final = (
    Feature(types.TEXT_DOCUMENT_DID_OPEN, None, did_open),
    Feature(types.TEXT_DOCUMENT_DID_CHANGE, None, did_change),
    Feature(types.TEXT_DOCUMENT_DID_CLOSE, None, did_close),
)
