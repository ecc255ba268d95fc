"""Folders, watched files, and what the server registers for where that is offered."""

from pathlib import Path
from typing import Any

import pytest

from lsp_server.features.initialized import registrations
from lsp_server.features.workspace import MAX_FOLDERS, folders_of
from lsp_server.profiles import client_profile
from tests.support.profiles import PROFILES, recorded_params
from tests.support.sessions import Session, turns

A, B, C = ({"uri": f"file:///{name}", "name": name} for name in "abc")
WATCHING = {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}}}


def check(session: Session, *names: str) -> None:
    """The folders that the session knows."""
    assert session.server.workspace_folders == {f"file:///{name}": name for name in names}


def started(**params: object) -> Session:
    session = Session()
    session.initialize(**params)
    return session


async def test_folders_are_known_from_the_beginning() -> None:
    check(started(workspaceFolders=[A, B]), "a", "b")


async def test_folders_come_and_go() -> None:
    session = started(workspaceFolders=[A, B])
    event = {"added": [C], "removed": [A, {"uri": "file:///never", "name": ""}]}
    session.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    check(session, "b", "c")


@pytest.mark.parametrize(
    ("params", "folders"),
    [
        ({"rootUri": "file:///a"}, {"file:///a": ""}),
        ({"rootUri": "file:///a", "workspaceFolders": []}, {}),
        ({"rootUri": "file:///a", "workspaceFolders": None}, {"file:///a": ""}),
        ({"rootUri": None}, {}),
        ({"rootUri": 3, "workspaceFolders": {"uri": "x"}}, {}),
        ({"workspaceFolders": [3, {}, {"uri": 1}, {"uri": "file:///a"}]}, {"file:///a": ""}),
        ({"workspaceFolders": [{"uri": "file:///a", "name": 3}]}, {"file:///a": ""}),
        ({"workspaceFolders": [{"uri": "x" * 5_000, "name": ""}]}, {}),
    ],
)
def test_what_names_a_folder_is_one(params: dict[str, object], folders: dict[str, str]) -> None:
    assert folders_of(params) == folders


def test_folders_are_bounded() -> None:
    many = [{"uri": f"file:///{number}", "name": ""} for number in range(MAX_FOLDERS + 5)]
    assert len(folders_of({"workspaceFolders": many})) == MAX_FOLDERS


async def test_folders_that_are_added_are_bounded_too() -> None:
    session = started()
    many = [{"uri": f"file:///{number}", "name": ""} for number in range(MAX_FOLDERS + 5)]
    event = {"added": many, "removed": []}
    session.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    assert len(session.server.workspace_folders) == MAX_FOLDERS


async def test_a_changed_ignore_file_is_read_again(tmp_path: Path) -> None:
    session, uri, folders = started(), (tmp_path / "a.py").as_uri(), [tmp_path.as_uri()]
    assert not session.server.ignored.names(uri, folders)
    (tmp_path / ".inklingignore").write_text("*.py\n")
    changes = [{"uri": f"{tmp_path.as_uri()}/.inklingignore", "type": 2}]
    session.notify("workspace/didChangeWatchedFiles", {"changes": changes})
    assert session.server.ignored.names(uri, folders)


async def _registered(session: Session) -> list[dict[str, Any]]:
    session.notify("initialized", {})
    await turns()
    return [
        registration
        for message in session.kept.messages
        if message["method"] == "client/registerCapability"
        for registration in message["params"]["registrations"]
    ]


async def test_ignore_files_are_watched_where_that_is_offered() -> None:
    (registration,) = await _registered(started(capabilities=WATCHING))
    watchers = [{"globPattern": "**/.inklingignore"}, {"globPattern": "**/.gitignore"}]
    assert registration["method"] == "workspace/didChangeWatchedFiles"
    assert registration["registerOptions"] == {"watchers": watchers}


async def test_changes_of_our_section_are_registered_for_where_that_is_offered() -> None:
    offered = {"workspace": {"didChangeConfiguration": {"dynamicRegistration": True}}}
    (registration,) = await _registered(started(capabilities=offered))
    assert registration["method"] == "workspace/didChangeConfiguration"
    assert registration["registerOptions"] == {"section": "inkling"}


async def test_nothing_is_registered_where_nothing_is_offered() -> None:
    assert await _registered(started()) == []


async def test_a_client_that_refuses_to_register_is_survived() -> None:
    session = started(capabilities=WATCHING)
    await _registered(session)
    error = {"code": -32601, "message": "no"}
    session.receive({"jsonrpc": "2.0", "id": session.kept.messages[0]["id"], "error": error})
    await turns()
    session.request(1, "workspace/executeCommand", {"command": "inkling.status"})
    await turns()
    assert "result" in session.kept.messages[-1]


REGISTERED = {
    "emacs28-eglot1.9": 1,
    "emacs30-eglot1.17": 1,
    "helix25.01": 1,
    "vscode1.139-languageclient11": 2,
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_recorded_client_registers_what_it_offers(name: str) -> None:
    profile = client_profile(recorded_params(name))
    assert len(registrations(profile)) == REGISTERED.get(name, 0)
