"""What the extension does with answers that a test wrote down, and where there is no server."""

import json
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.editors.answers import Answers
from tests.editors.vscode.editor import Editor, Installation, eventually
from tests.support.processes import children_named
from tests.support.raw_client import PATIENCE_SECONDS

pytestmark = [pytest.mark.editor, pytest.mark.slow]

ACCEPTED = {"title": "Accepted", "command": "inkling.accepted", "arguments": ["one"]}
MODELS = [
    {"name": "small", "state": "installed", "memory": "9 MB"},
    {"name": "large", "state": "can be added", "memory": "90 MB"},
]
PROGRAM = """#!/bin/sh
case "$1" in
  model) echo "$@" >> {folder}/ran; if [ "$2" = list ]; then cat {folder}/models.json; fi ;;
  *) exec {python} -m tests.editors.answering_server {folder} "$@" ;;
esac
"""


class Client(Answers):
    """A window whose server answers what stands in `folder`, and writes down what it hears there.

    The server's program lies where it is looked for: nothing is set.
    """

    def __init__(self, installation: Installation) -> None:
        folder = installation.home / "answers"
        folder.mkdir()
        super().__init__(folder, ACCEPTED)
        (self.folder / "models.json").write_text(json.dumps(MODELS))
        program = installation.home / ".local" / "bin" / "inkling"
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM.format(folder=self.folder, python=shlex.quote(sys.executable)))
        program.chmod(0o755)
        self.editor: Editor

    def restart(self) -> None:
        self.forget()
        self.editor.run("Inkling: Restart")
        eventually(lambda: self.has_heard("workspace/executeCommand"))

    def ran(self) -> list[str]:
        written = self.folder / "ran"
        return written.read_text().splitlines() if written.is_file() else []


@pytest.fixture(scope="module")
def client(installation: Installation) -> Iterator[Client]:
    installation.configure({})
    client = Client(installation)
    with installation.window(installation.home / "answered") as client.editor:
        eventually(lambda: client.has_heard("workspace/executeCommand"))
        client.answer("z")
        client.editor.open("first.txt", "")
        client.editor.type("(")
        client.editor.wake()
        yield client


def test_what_is_accepted_is_told_once(client: Client) -> None:
    client.answer("bc")
    client.editor.open("told.txt", "")
    client.editor.type("(")
    assert client.editor.ghost() == "bc"
    client.forget()
    client.editor.press("Tab")
    eventually(client.editor.lines, lambda lines: lines == ["(bc"])
    told = {"command": "inkling.accepted", "arguments": ["one"]}
    eventually(lambda: client.has_heard("workspace/executeCommand"), lambda all_: all_ == [told])


def test_what_a_key_costs_is_measured(client: Client) -> None:
    client.answer("bc", delay=0.3)
    client.editor.open("measured.txt", "")
    assert 300 < client.editor.milliseconds_to_ghost("(") < PATIENCE_SECONDS * 1000
    client.answer()


def test_a_request_is_taken_back_by_typing_on(client: Client) -> None:
    client.answer("z", delay=5)
    client.editor.open("cancelled.txt", "")
    client.forget()
    client.editor.type("a")
    eventually(lambda: client.has_heard("textDocument/inlineCompletion"))
    client.editor.type("b")
    eventually(lambda: client.has_heard("$/cancelRequest"))
    assert client.editor.ghost_now() == ""
    client.answer()


def test_restarts_that_overlap_leave_one_server(client: Client) -> None:
    client.forget()
    for _ in range(3):
        client.editor.run("Inkling: Restart")
    eventually(lambda: len(client.has_heard("initialize")) == 3)
    eventually(lambda: len(children_named("tests.editors.answering_server")) == 1)


def test_the_server_is_told_what_it_can_be(client: Client) -> None:
    client.restart()
    (params,) = client.has_heard("initialize")
    assert params["capabilities"]["experimental"] == {"inkling": {"status": True}}
    assert params["trace"] == "off"
    assert params.get("initializationOptions") is None


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"state": "loading", "message": "it is being loaded"}, "Inkling: loading"),
        ({"state": "restarting", "message": "again"}, "Inkling: restarting"),
        ({"state": "failed", "message": "no memory"}, "Inkling: failed"),
        ({"state": "ready", "message": "m completes"}, "Inkling"),
    ],
    ids=lambda value: value["state"] if isinstance(value, dict) else "",
)
@pytest.mark.shows("status")
def test_each_state_shows(client: Client, status: dict[str, Any], shown: str) -> None:
    client.answer(statuses=[status])
    client.restart()
    eventually(client.editor.status, lambda now: now == shown)
    assert status["message"] in client.editor.status_label()


def test_a_model_is_added_in_a_terminal(client: Client) -> None:
    client.answer(statuses=[{"state": "ready", "message": "m", "small_model_only": True}])
    client.restart()
    (notice,) = eventually(client.editor.notices)
    assert "large is better and takes 90 MB of memory" in notice
    client.editor.answer_notice("Add large")
    eventually(lambda: "model add large" in client.ran())
    rows = client.editor.page.locator(".terminal-wrapper.active .xterm-rows")
    eventually(rows.inner_text, lambda text: "Press any key to close." in text)
    client.editor.press("Enter")
    rows.wait_for(state="detached")
    client.editor.run("Inkling: Add a Model")
    client.editor.pick("large")
    eventually(client.ran, lambda ran: ran.count("model add large") == 2)
    eventually(rows.inner_text, lambda text: "Press any key to close." in text)
    client.editor.press("Enter")
    client.answer()


def test_the_log_holds_no_word_of_a_document(client: Client, installation: Installation) -> None:
    client.answer("orchid")
    client.editor.open("secret.txt", "")
    client.editor.type("marigold ")
    client.editor.ghost()
    logs = [path for path in installation.home.rglob("*.log") if path.is_file()]
    logs += [path for path in (installation.home / "vscode" / "logs").rglob("*") if path.is_file()]
    texts = [path.read_text("utf-8", errors="replace") for path in logs]
    assert not any("marigold" in text or "orchid" in text for text in texts)
    client.answer()


def test_a_program_that_cannot_be_run_is_named(client: Client, installation: Installation) -> None:
    installation.configure({"inkling.command": ["/nowhere/inkling"]})
    eventually(client.editor.status, lambda status: status == "Inkling: not installed")
    (notice,) = eventually(client.editor.notices)
    assert '/nowhere/inkling cannot be run; the setting "inkling.command" names it.' in notice
    client.editor.run("Notifications: Clear All Notifications")


def test_a_server_that_cannot_live_is_left_alone(
    client: Client, installation: Installation
) -> None:
    installation.configure({"inkling.command": [sys.executable, "-c", "raise SystemExit(3)"]})
    eventually(client.editor.status, lambda status: status == "Inkling: stopped")
    notices = eventually(client.editor.notices)
    assert notices == ["Inkling's server ended 5 times. The log says why."]
    client.editor.run("Notifications: Clear All Notifications")


def test_where_it_is_not_installed_one_command_is_shown(
    client: Client, installation: Installation
) -> None:
    program = installation.home / ".local" / "bin" / "inkling"
    away = program.rename(program.with_name("away"))
    installation.configure({})
    client.editor.run("Inkling: Restart")
    eventually(client.editor.status, lambda status: status == "Inkling: not installed")
    (notice,) = eventually(client.editor.notices)
    client.editor.answer_notice("Copy the command")
    read = "() => navigator.clipboard.readText()"
    copied = eventually(lambda: client.editor.page.evaluate(read))
    assert copied.endswith("inkling-lsp")
    assert f"`{copied}` installs it" in notice
    away.rename(program)
    client.answer(statuses=[{"state": "ready", "message": "m completes"}])
    client.editor.menu("Look again")
    eventually(client.editor.status, lambda status: status == "Inkling")
