"""Typed into real VS Code, answered by `inkling lsp` with the model that ships."""

import contextlib
import itertools
import json
import re
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import psutil
import pytest

from inference.package.manifest import read_manifest, write_manifest
from inference.package.store import embedded_folder
from tests.editors.vscode.editor import Editor, Installation, eventually
from tests.support.processes import children_named, command_of

pytestmark = [pytest.mark.editor, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "inkling"]
# What other tests leave in their files is no evidence.
SETTINGS = {"inkling.command": COMMAND, "inkling.otherTexts": "none"}
BEFORE = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n"
AFTER = "\n    def norm(self):\n        return (self.x**2 + self.y**2) ** 0.5\n"
names = itertools.count(1)


class Begun(NamedTuple):
    """What was typed into a line of its own, and the ghost text that came of it."""

    typed: str
    ghost: str


@pytest.fixture(scope="module")
def window(installation: Installation) -> Iterator[Editor]:
    installation.configure(SETTINGS)
    with installation.window(installation.home / "project") as editor:
        settle(editor)
        yield editor


def settle(window: Editor) -> None:
    """Wait until the server answers, and until the window asks."""
    eventually(window.status, lambda status: status == "Inkling (small model)")
    window.open("first.py", BEFORE, line=4)
    window.type("        for item in ra")
    window.wake()


def begin(window: Editor) -> Begun:
    """Type into a new line of a file and wait for what comes.

    Each time another name stands there: what was rejected once is not shown again.
    """
    number = next(names)
    typed = f"        if item{number} is No"
    window.open(f"point{number}.py", BEFORE + "\n" + AFTER, line=4)
    window.type(typed)
    return Begun(typed, window.ghost())


def document(window: Editor) -> str:
    return "\n".join(window.lines())


def reached(window: Editor, begun: Begun) -> int | None:
    """Return how many characters of the ghost text were accepted, None where that cannot be."""
    head, rest = BEFORE + begun.typed, "\n" + AFTER
    text = document(window)
    if not (text.startswith(head) and text.endswith(rest)):
        return None
    accepted = text[len(head) : len(text) - len(rest)]
    return len(accepted) if begun.ghost.startswith(accepted) else None


def journal(installation: Installation) -> list[str]:
    """Return the kinds of what the server has written down."""
    return [
        json.loads(line)["kind"]
        for path in installation.home.rglob("journal.jsonl")
        for line in path.read_text().splitlines()
    ]


def servers() -> list[psutil.Process]:
    """Return the processes of the servers of all windows; each has its engine as a child."""
    return [process for process in children_named("lsp") if "lsp" in command_of(process)]


def server_process() -> psutil.Process:
    (process,) = servers()
    return process


@pytest.mark.shows("status")
def test_a_better_model_is_offered_until_that_is_declined(window: Editor) -> None:
    (notice,) = eventually(window.notices)
    assert "qwen2.5-coder-0.5b is better and takes 900 MB of memory" in notice
    window.answer_notice("No, thanks")
    eventually(window.notices, lambda notices: notices == [])
    eventually(lambda: "inkling.modelsDeclined" in window.remembered())
    window.reload()
    settle(window)
    # Once the list of models has come for the second asker, an offer would have come before it.
    window.run("Inkling: Add a Model")
    window.page.locator(".quick-input-list .monaco-list-row").first.wait_for()
    window.press("Escape")
    assert window.notices() == []


@pytest.mark.shows("ghost text")
@pytest.mark.shows("accept all")
def test_all_is_accepted(window: Editor, installation: Installation) -> None:
    begun = begin(window)
    told = len(journal(installation))
    window.press("Tab")
    eventually(lambda: reached(window, begun), lambda length: length == len(begun.ghost))
    eventually(lambda: "accepted" in journal(installation)[told:])


@pytest.mark.parametrize(
    ("key", "piece"),
    [
        pytest.param(
            "Control+ArrowRight", r"\w+", id="word", marks=pytest.mark.shows("accept word")
        ),
        pytest.param(
            "Control+Alt+ArrowRight",
            r"[^\n]+\n?",
            id="line",
            marks=pytest.mark.shows("accept line"),
        ),
    ],
)
def test_a_part_is_accepted(
    window: Editor, installation: Installation, key: str, piece: str
) -> None:
    begun = begin(window)
    told = len(journal(installation))
    window.press(key)
    length = eventually(lambda: reached(window, begun))
    assert re.fullmatch(piece, begun.ghost[:length])
    rest = begun.ghost[length:]
    eventually(window.ghost_now, lambda ghost: ghost != "" and ghost.startswith(rest.rstrip()))
    window.type("? ")
    eventually(lambda: "partly" in journal(installation)[told:])


@pytest.mark.shows("typed through")
def test_what_is_typed_through_never_flickers(window: Editor) -> None:
    begun = begin(window)
    through = begun.ghost.split("\n")[0][:6]
    window.record()
    for key in through:
        window.type(key)
    eventually(lambda: window.lines()[3], lambda line: line == begun.typed + through)
    first_line = begun.typed + begun.ghost.split("\n")[0]
    painted = window.painted()
    assert len(painted) > 2
    for lines, ghost in painted:
        assert (lines[3] + ghost.split("\n")[0]).startswith(first_line)


def test_typing_something_else_takes_it_back(window: Editor) -> None:
    begun = begin(window)
    other = "q" if not begun.ghost.startswith("q") else "z"
    window.record()
    window.type(other)
    eventually(lambda: window.lines()[3], lambda line: line == begun.typed + other)
    painted = [ghost for lines, ghost in window.painted() if lines[3] == begun.typed + other]
    assert begun.ghost not in painted


def test_it_is_dismissed_and_asked_for_again(window: Editor) -> None:
    ghost = begin(window).ghost
    window.press("Escape")
    eventually(window.ghost_now, lambda ghost: ghost == "")
    window.press("Alt+Backslash")
    assert window.ghost().startswith(ghost.split("\n")[0])


@pytest.mark.shows("next, previous")
def test_who_asks_for_another_gets_another(window: Editor) -> None:
    ghost = begin(window).ghost
    window.press("Alt+]")
    other = eventually(window.ghost, lambda shown: shown != ghost)
    window.press("Alt+[")
    eventually(window.ghost, lambda shown: shown != other)


@pytest.mark.shows("menu keeps its keys")
def test_an_open_menu_keeps_its_keys(window: Editor) -> None:
    begun = begin(window)
    window.press("Control+Space")
    menu = window.page.locator(".suggest-widget.visible .monaco-list-row.focused")
    menu.wait_for()
    label = (menu.get_attribute("aria-label") or "").split(",")[0]
    window.press("Tab")
    line = eventually(lambda: window.lines()[3], lambda line: line != begun.typed)
    assert line == begun.typed.removesuffix("No") + label


@pytest.mark.shows("code action")
def test_a_body_is_written(window: Editor) -> None:
    text = "def total(values):\n    return sum(values)\n\n\ndef mean(values):\n    pass\n"
    window.open("mean.py", text, line=6, column=5)
    window.press("Control+.")
    window.page.locator(".action-widget .monaco-list-row", has_text="Write this body").click()
    lines = eventually(window.lines, lambda lines: "    pass" not in lines)
    assert lines[:5] == text.split("\n")[:5]
    assert any(line.startswith("    ") for line in lines[5:])


@pytest.mark.shows("restart")
def test_a_server_that_is_killed_comes_back(window: Editor) -> None:
    process = server_process()
    process.kill()
    eventually(window.status, lambda status: status == "Inkling: restarting")
    eventually(window.status, lambda status: status == "Inkling (small model)")
    assert begin(window).ghost
    assert server_process().pid != process.pid
    assert window.notices() == []


def test_a_setting_that_changes_is_followed(window: Editor, installation: Installation) -> None:
    installation.configure({**SETTINGS, "inkling.enable": False})
    eventually(window.status, lambda status: status == "Inkling: paused")
    installation.configure(SETTINGS)
    eventually(window.status, lambda status: status == "Inkling (small model)")


@pytest.mark.shows("status")
def test_pausing_and_switching_off_show(window: Editor) -> None:
    begin(window)
    window.menu("Pause")
    eventually(window.status, lambda status: status == "Inkling: paused")
    eventually(window.ghost_now, lambda ghost: ghost == "")
    window.menu("Resume")
    eventually(window.status, lambda status: status == "Inkling (small model)")
    window.menu("Switch off for python")
    eventually(window.status, lambda status: status == "Inkling: off for python")
    window.run("Inkling: Switch Off or On for This Language")
    eventually(window.status, lambda status: status == "Inkling (small model)")
    window.menu("Set the level")
    window.pick("eager")
    eventually(window.status_label, lambda label: "Level: eager" in label)
    window.run("Inkling: Explain the Last Answer")
    (notice,) = eventually(window.notices)
    assert notice.startswith("Inkling: shown: ")
    window.run("Notifications: Clear All Notifications")


def test_a_verb_runs_in_a_terminal(window: Editor) -> None:
    window.menu("Show statistics")
    rows = window.page.locator(".terminal-wrapper.active .xterm-rows")
    eventually(rows.inner_text, lambda text: "Press any key to close." in text)
    assert "the model had nothing" in rows.inner_text() or "shown" in rows.inner_text()
    window.press("Enter")
    rows.wait_for(state="detached")


def asked(window: Editor) -> str:
    """Return the status once the server was asked for something: then it looks which model is used.

    Typed at once, one request would take the place of the other.
    """
    window.open(f"asked{next(names)}.py", BEFORE, line=4)
    window.type("        for item in ra")
    with contextlib.suppress(AssertionError):
        eventually(window.ghost_now, seconds=1)
    return window.status()


@pytest.mark.shows("model switch")
def test_another_model_answers_without_a_restart(
    window: Editor, installation: Installation
) -> None:
    process = server_process()
    package = installation.home / "data" / "inkling" / "models" / "other"
    shutil.copytree(embedded_folder(), package)
    manifest = msgspec.structs.replace(read_manifest(package), name="another")
    write_manifest(manifest, package)
    begin(window)
    for name, status in (("other", "Inkling"), ("embedded", "Inkling (small model)")):
        window.menu("Choose the model")
        window.pick(name)
        eventually(lambda: asked(window), lambda now, status=status: now == status)
        assert ("another completes" in window.status_label()) == (name == "other")
    assert server_process().pid == process.pid
    assert begin(window).ghost


def test_a_workspace_names_nothing_that_runs(window: Editor, installation: Installation) -> None:
    """What its settings name is not run, not read and not talked to, and one message says so."""
    folder, ran = installation.home / "hostile", installation.home / "ran"
    program = folder / ".venv" / "bin" / "inkling"
    for path in (program, folder / "inkling" / "__main__.py", folder / "json.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{sys.executable}\nopen({str(ran)!r}, 'w')\n")
        path.chmod(0o755)
    settings = {
        "inkling.command": [str(program)],
        "inkling.args": ["--model", str(folder)],
        "inkling.model": str(folder),
        "inkling.endpoint": "http://127.0.0.1:9",
        "inkling.trace.server": "verbose",
    }
    (folder / ".vscode").mkdir()
    (folder / ".vscode" / "settings.json").write_text(json.dumps(settings))
    with installation.window(folder) as hostile:
        eventually(hostile.status, lambda status: status == "Inkling (small model)")
        said = "inkling.model cannot be set from an editor's workspace"
        eventually(lambda: [notice for notice in hostile.notices() if said in notice])
        settle(hostile)
        commands = [command_of(process) for process in servers()]
        assert commands == [[*COMMAND, "lsp", "--stdio"]] * 2
    assert not ran.exists()
