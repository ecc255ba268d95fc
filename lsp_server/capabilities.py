"""Say what the server can do, to a client of whom it is known what that can."""

from collections.abc import Iterable, Mapping
from typing import Final

from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder

from lsp_server.profiles import ClientProfile

_NOTEBOOKS: Final = types.NotebookDocumentSyncOptions(
    [types.NotebookDocumentFilterWithNotebook(notebook="*")]
)
"""All cells of all notebooks."""


def server_capabilities(
    registered: Iterable[str], options: Mapping[str, object], profile: ClientProfile
) -> types.ServerCapabilities:
    """Advertise what is registered; a completion menu only where there is no ghost text."""
    features = set(registered)
    if profile.shows_inline_completion:
        features.discard(types.TEXT_DOCUMENT_COMPLETION)
    if not profile.shows_virtual_documents:
        features.discard(types.WORKSPACE_TEXT_DOCUMENT_CONTENT)
    capabilities = ServerCapabilitiesBuilder(
        types.ClientCapabilities(),
        features,
        dict(options),
        [],
        types.TextDocumentSyncKind.Incremental,
        None,
        profile.position_encoding,
    ).build()
    if types.NOTEBOOK_DOCUMENT_DID_OPEN in features:
        capabilities.notebook_document_sync = _NOTEBOOKS
    capabilities.workspace = _workspace_options(features, options)
    commands = options.get(types.WORKSPACE_EXECUTE_COMMAND)
    assert commands is None or isinstance(commands, types.ExecuteCommandOptions)
    capabilities.execute_command_provider = commands
    return capabilities


def _workspace_options(
    features: set[str], options: Mapping[str, object]
) -> types.WorkspaceOptions | None:
    workspace = types.WorkspaceOptions()
    if types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS in features:
        workspace.workspace_folders = types.WorkspaceFoldersServerCapabilities(
            supported=True, change_notifications=True
        )
    if types.WORKSPACE_TEXT_DOCUMENT_CONTENT in features:
        content = options[types.WORKSPACE_TEXT_DOCUMENT_CONTENT]
        assert isinstance(content, types.TextDocumentContentOptions)
        workspace.text_document_content = content
    return workspace if workspace != types.WorkspaceOptions() else None
