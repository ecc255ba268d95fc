"""What the server does, one module per family of LSP methods; adding one is a line in FEATURES."""

from typing import Final

from lsp_server.features import (
    code_action,
    commands,
    completion,
    configuration,
    feedback,
    initialized,
    inline_completion,
    notebooks,
    progress,
    session,
    sync,
    text_document_content,
    workspace,
)
from lsp_server.server import Feature, InklingServer

FEATURES: Final[tuple[Feature, ...]] = (
    *session.FEATURES,
    *sync.FEATURES,
    *notebooks.FEATURES,
    *configuration.FEATURES,
    *workspace.FEATURES,
    *initialized.FEATURES,
    *inline_completion.FEATURES,
    *completion.FEATURES,
    *code_action.FEATURES,
    *commands.FEATURES,
    *progress.FEATURES,
    *text_document_content.FEATURES,
    *feedback.FEATURES,
)


def register(server: InklingServer) -> None:
    server.register(FEATURES)
