"""The part of pygls that lsp_server uses, typed; the rest is left out on purpose."""

from lsprotocol import types

class ServerCapabilitiesBuilder:
    def __init__(
        self,
        client_capabilities: types.ClientCapabilities,
        features: set[str],
        feature_options: dict[str, object],
        commands: list[str],
        text_document_sync_kind: types.TextDocumentSyncKind,
        notebook_document_sync: types.NotebookDocumentSyncOptions | None = None,
        position_encoding: types.PositionEncodingKind | str = ...,
    ) -> None: ...
    def build(self) -> types.ServerCapabilities: ...
