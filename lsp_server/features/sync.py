"""Follow what the client's documents hold."""

from collections.abc import Sequence
from typing import Final

from lsprotocol import types

from lsp_server.features.feedback import document_changed
from lsp_server.server import Feature, InklingServer
from lsp_server.structuring import UNVERSIONED


def open_document(ls: InklingServer, item: types.TextDocumentItem) -> None:
    """Take a document as it is now, also where it was open; nothing is shown in it yet."""
    ls.documents.open(item)
    ls.changed(item.uri)
    ls.feedback.closed(item.uri)


def change_document(
    ls: InklingServer,
    document: types.VersionedTextDocumentIdentifier,
    changes: Sequence[types.TextDocumentContentChangeEvent],
) -> None:
    before = ls.lines_of(document.uri)
    version = None if document.version == UNVERSIONED else document.version
    ls.documents.change(document.uri, version, changes)
    document_changed(ls, document.uri, before, changes)
    ls.changed(document.uri)


def did_open(ls: InklingServer, params: types.DidOpenTextDocumentParams) -> None:
    open_document(ls, params.text_document)
    ls.read_ahead(params.text_document.uri)


def did_change(ls: InklingServer, params: types.DidChangeTextDocumentParams) -> None:
    change_document(ls, params.text_document, params.content_changes)


def did_close(ls: InklingServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.closed(params.text_document.uri)


FEATURES: Final = (
    Feature(types.TEXT_DOCUMENT_DID_OPEN, None, did_open),
    Feature(types.TEXT_DOCUMENT_DID_CHANGE, None, did_change),
    Feature(types.TEXT_DOCUMENT_DID_CLOSE, None, did_close),
)
