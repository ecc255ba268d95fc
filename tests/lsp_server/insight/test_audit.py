"""What an audit finds of files, processes and the environment, and where it looks for editors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lsp_server.insight import audit as audit_module
from lsp_server.insight import cli
from lsp_server.insight.audit import (
    is_ours,
    known_variables,
    running_processes,
    user_folders,
    written_files,
)
from lsp_server.insight.editors import EDITORS, find_editors
from lsp_server.insight.journal import append
from tests.support.raw_client import ROOT, RawClient

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and paths are POSIX")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/inkling lsp", True),
        ("/usr/bin/python /users/me/.venv/bin/inkling lsp --stdio", True),
        ("python -m inkling lsp", True),
        ("python -P -m inference.serving.host --parent 1", True),
        ("vim inkling.py /tmp/inkling", False),
        ("python -m inkling_other", False),
        ("", False),
    ],
)
def test_which_processes_are_ours(command: str, expected: bool) -> None:
    assert is_ours(command.split()) is expected


def test_files_are_listed_with_who_can_read_them(tmp_path: Path) -> None:
    append(tmp_path / "state", b"{}\n")
    (tmp_path / "state" / "open.txt").write_text("four")
    (tmp_path / "state" / "open.txt").chmod(0o644)
    found = [(Path(f.path).name, f.num_bytes, f.mode, f.is_private) for f in _files(tmp_path)]
    assert found == [("journal.jsonl", 3, "0600", True), ("open.txt", 4, "0644", False)]


def _files(folder: Path) -> list[audit_module.WrittenFile]:
    return written_files(folder)


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert written_files(tmp_path / "nowhere") == []


def test_secrets_are_not_shown() -> None:
    found = known_variables({"HF_TOKEN": "canary", "INKLING_MODEL": "m", "PATH": "/bin"})
    assert found == {"HF_TOKEN": "(set)", "INKLING_MODEL": "m"}


def test_the_folders_are_the_users() -> None:
    assert {path.name for path in user_folders().values()} == {"inkling"}


@pytest.mark.e2e
@pytest.mark.slow
def test_a_running_server_has_no_sockets() -> None:
    with RawClient() as client:
        client.initialize()
        ours = {client.process.pid}
        command = [sys.executable, "-m", "tests.support.scripted_server"]
        assert not is_ours(command), "the scripted server goes by another name"
        found = audit_module._sockets(__import__("psutil").Process(client.process.pid))
        assert found == []
        assert ours.isdisjoint(process.process_id for process in running_processes())


@pytest.mark.e2e
@pytest.mark.slow
def test_the_command_finds_a_server_and_its_engine() -> None:
    with RawClient((sys.executable, "-m", "inkling", "lsp")) as client:
        client.initialize()
        client.open("x = ")
        client.result(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": "file:///workspace/a.py"},
                "position": {"line": 0, "character": 4},
                "context": {"triggerKind": 1},
            },
        )
        done = subprocess.run(
            [sys.executable, "-m", "inkling", "audit", "--json"],
            check=True,
            capture_output=True,
            cwd=ROOT,
        )
        found = json.loads(done.stdout)
        ours = [p for p in found["processes"] if p["process_id"] == client.process.pid]
        hosts = [p for p in found["processes"] if f"--parent {client.process.pid}" in p["command"]]
        assert [p["sockets"] for p in (*ours, *hosts)] == [[], []]
        assert any(file["path"].endswith("journal.jsonl") for file in found["files"])
        assert found["requests"][-1]["read_before"] == 4


def test_the_tables_name_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path, b"")
    monkeypatch.setattr(audit_module, "user_folders", lambda: {"state": tmp_path})
    monkeypatch.setattr(audit_module, "running_processes", list)
    shown = CliRunner().invoke(cli.audit, [], catch_exceptions=False).output
    assert "journal.jsonl" in shown
    assert "Sockets to other machines or programs: none." in shown


@pytest.mark.parametrize("name", EDITORS)
@pytest.mark.parametrize("is_set_up", [True, False])
def test_an_editor_is_found_by_its_command_and_its_configuration(
    name: str, is_set_up: bool, tmp_path: Path
) -> None:
    editor, home, commands = EDITORS[name], tmp_path / "home", tmp_path / "bin"
    commands.mkdir()
    command = commands / editor.commands[-1]
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    place = (*editor.places, *editor.extensions)[0].replace("**/*", "init").replace("*", "x")
    file = home / place
    file = file.with_name(file.name.replace("xinklingx", "inkling-0.1" if is_set_up else "other"))
    file.parent.mkdir(parents=True)
    file.write_text("command = 'inkling lsp'" if is_set_up else "command = 'other'")
    (found,) = find_editors(home, str(commands))
    assert (found.name, found.is_set_up) == (name, is_set_up)
    assert bool(found.where) is is_set_up


def test_no_editor_is_no_editor(tmp_path: Path) -> None:
    assert find_editors(tmp_path, str(tmp_path)) == []
