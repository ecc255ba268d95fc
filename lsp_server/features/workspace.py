"""Know the workspace's folders, and when a file changes that says what not to touch in them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from lsprotocol import types

from lsp_server.ignored import IGNORE_FILES
from lsp_server.server import Feature, InklingServer

MAX_FOLDERS: Final = 1_000
MAX_URI_CHARACTERS: Final = 4_096


def folders_of(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the folders that `initialize` names, URI to name; older clients name only a root."""
    folders = params.get("workspaceFolders")
    if isinstance(folders, list):
        return dict(_readable(cast("list[Any]", folders)))
    root = params.get("rootUri")
    return {root: ""} if isinstance(root, str) and 0 < len(root) <= MAX_URI_CHARACTERS else {}


def _readable(folders: list[Any]) -> Iterator[tuple[str, str]]:
    for folder in folders[:MAX_FOLDERS]:
        match folder:
            case {"uri": str(uri), **rest} if len(uri) <= MAX_URI_CHARACTERS:
                name = rest.get("name")
                yield uri, name if isinstance(name, str) else ""
            case _:
                pass


def did_change_workspace_folders(
    ls: InklingServer, params: types.DidChangeWorkspaceFoldersParams
) -> None:
    folders = dict(ls.workspace_folders)
    for folder in params.event.removed:
        folders.pop(folder.uri, None)
    for folder in params.event.added:
        if len(folders) < MAX_FOLDERS and len(folder.uri) <= MAX_URI_CHARACTERS:
            folders[folder.uri] = folder.name
    ls.workspace_folders = folders
    ls.survey()


def did_change_watched_files(ls: InklingServer, params: types.DidChangeWatchedFilesParams) -> None:
    """Have the files that say what is ignored read again where one of them has changed."""
    if any(change.uri.rsplit("/", 1)[-1] in IGNORE_FILES for change in params.changes):
        ls.ignored.forget()


FEATURES: Final = (
    Feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, None, did_change_workspace_folders),
    Feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, None, did_change_watched_files),
)
