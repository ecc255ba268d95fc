"""Typed into real Neovims, answered by `inkling lsp` with the model that ships."""

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.editors.models import TWIN, use_twin
from tests.editors.neovim.editor import PLUGIN, RECORDER, Neovim, Program
from tests.editors.tmux import Screen
from tests.support.processes import children_named, command_of
from tests.support.raw_client import PATIENCE_SECONDS, ROOT

pytestmark = [pytest.mark.editor, pytest.mark.slow]

# What other tests leave in their files is no evidence.
SETUP = f"""require("inkling").setup({{
  command = {{ "{sys.executable}", "-m", "inkling" }},
  settings = {{ otherTexts = "none" }},
}})"""
BEFORE = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n"
AFTER = "\n    def norm(self):\n        return (self.x**2 + self.y**2) ** 0.5\n"
names = itertools.count(1)
shows = pytest.mark.shows


class Session(NamedTuple):
    neovim: Neovim
    home: Path


class Begun(NamedTuple):
    """What was typed into a line of its own, and the ghost text that came of it."""

    typed: str
    ghost: str


@pytest.fixture(scope="module")
def session(neovim_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    home = tmp_path_factory.mktemp("neovim")
    with Neovim(neovim_program, home, SETUP) as neovim:
        yield Session(neovim, home)


def begin(
    session: Session, *, before: str = BEFORE, wanted: str = "is No", newline: str = "\n"
) -> Begun:
    """Type into a new line of a file and wait for what comes.

    Each time another name stands there: what was rejected once is not shown again.
    """
    neovim, typed = session.neovim, f"        if item{next(names)} {wanted}"
    path = session.home / f"point_{time.monotonic_ns()}.py"
    neovim.edit(path, (before + AFTER).replace("\n", newline))
    neovim.command(f"normal! {before.count(chr(10))}G")
    neovim.keys(f"o<C-u>{typed}")
    return Begun(typed, neovim.ghost())


def journal(session: Session) -> list[str]:
    """Return the kinds of what the server has written down."""
    return [
        json.loads(line)["kind"]
        for path in session.home.rglob("journal.jsonl")
        for line in path.read_text().splitlines()
    ]


def wait_for(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        pytest.param(
            "<Tab>", r"(?s).*", id="all", marks=[shows("accept all"), shows("ghost text")]
        ),
        pytest.param("<M-Right>", r"\s*\w+|\s*[^\w\s]+", id="word", marks=shows("accept word")),
        pytest.param("<M-C-Right>", r"\n*[^\n]*", id="line", marks=shows("accept line")),
        pytest.param("<Cmd>Inkling accept line<CR>", r"\n*[^\n]*", id="by-name"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("head", ["", "# \U0001d4b3\U0001f600 é\n"], ids=["ascii", "astral"])
def test_accepting_inserts_what_is_shown(
    session: Session, key: str, pattern: str, newline: str, head: str
) -> None:
    wanted = '== "\U0001f600" or x is No' if head else "is No"
    typed, ghost = begin(session, before=head + BEFORE, wanted=wanted, newline=newline)
    piece = re.match(pattern, ghost)[0]
    session.neovim.keys(key)
    expected = head + BEFORE + typed + piece + "\n" + AFTER
    session.neovim.eventually("text()", lambda text: text == expected.rstrip("\n"))
    if piece == ghost:
        session.neovim.eventually("ghost() or ''", lambda shown: not shown.startswith(ghost))
    else:
        rest = ghost[len(piece) :]
        session.neovim.eventually("ghost() or ''", lambda shown: shown.startswith(rest))


def test_the_server_hears_what_was_accepted(session: Session) -> None:
    begin(session)
    told = len(journal(session))
    session.neovim.keys("<M-Right>")
    wait_for(lambda: "partly" in journal(session)[told:])
    session.neovim.ghost()
    session.neovim.keys("<Tab>")
    wait_for(lambda: "accepted" in journal(session)[told:])


@shows("typed through")
def test_what_is_typed_through_never_flickers(session: Session) -> None:
    typed, ghost = begin(session)
    through = ghost.split("\n")[0][:6]
    session.neovim.lua(RECORDER)
    for key in through:
        session.neovim.keys("<lt>" if key == "<" else key)
        time.sleep(0.03)
    session.neovim.eventually(
        "vim.api.nvim_get_current_line()", lambda line: line == typed + through
    )
    first_line = typed + ghost.split("\n")[0]
    for line, painted in session.neovim.lua("return painted"):
        assert (line + painted.split("\n")[0]).startswith(first_line)


def test_typing_something_else_takes_it_back_at_once(session: Session) -> None:
    ghost = begin(session).ghost
    session.neovim.lua(RECORDER)
    session.neovim.keys("q" if not ghost.startswith("q") else "z")
    session.neovim.eventually("#painted")
    assert session.neovim.lua("return painted[1][2]") == ""


def test_a_pure_move_takes_it_back(session: Session) -> None:
    begin(session)
    session.neovim.keys("<Left>")
    session.neovim.eventually("ghost() == nil")


def test_it_is_dismissed_and_asked_for_again(session: Session) -> None:
    ghost = begin(session).ghost
    session.neovim.keys("<C-]>")
    session.neovim.eventually("ghost() == nil")
    time.sleep(0.2)  # nothing comes back by itself
    assert session.neovim.lua("return ghost()") is None
    session.neovim.keys("<M-Bslash>")
    assert session.neovim.ghost().startswith(ghost.split("\n")[0])


@shows("next, previous")
def test_who_asks_for_another_gets_another(session: Session) -> None:
    neovim = session.neovim
    typed, ghost = begin(session)
    neovim.keys("<M-]>")
    other = neovim.eventually("ghost()", lambda shown: shown and shown != ghost)
    neovim.keys("<M-[>")
    neovim.eventually("ghost()", lambda shown: shown and shown != other)
    neovim.keys("<M-]><Tab>")
    neovim.eventually("text()", lambda text: typed + other in text)


def test_leaving_insert_mode_takes_it_back(session: Session) -> None:
    begin(session)
    session.neovim.keys("<Esc>")
    session.neovim.eventually("ghost() == nil")


def test_without_a_suggestion_keys_do_what_they_did(session: Session) -> None:
    typed = begin(session).typed
    session.neovim.keys("<C-]>")
    session.neovim.eventually("ghost() == nil")
    session.neovim.command("set expandtab softtabstop=4")
    session.neovim.keys("<Tab>")
    session.neovim.eventually("vim.api.nvim_get_current_line()", lambda line: line != typed)
    assert session.neovim.lua("return vim.api.nvim_get_current_line()").rstrip(" ") == typed


@shows("menu keeps its keys")
def test_an_open_menu_keeps_its_keys(session: Session) -> None:
    neovim = session.neovim
    typed, ghost = begin(session, before=BEFORE + "        Nomad = North = 1\n")
    neovim.keys("<C-x><C-n>")
    neovim.eventually("vim.fn.pumvisible() == 1")
    neovim.eventually("ghost() == nil")
    time.sleep(0.2)  # nothing comes while the menu is open
    assert neovim.lua("return ghost()") is None
    neovim.keys("<C-n>")
    neovim.eventually("vim.fn.complete_info().selected", lambda selected: selected == 1)
    neovim.command("set noexpandtab softtabstop=0")
    neovim.keys("<Tab>")
    neovim.eventually("vim.fn.pumvisible() == 0")
    line = neovim.eventually("vim.api.nvim_get_current_line()", lambda line: "\t" in line)
    assert line in {typed + "mad\t", typed + "rth\t"}
    assert ghost.split("\n")[0] not in line


@shows("code action")
def test_a_code_action_changes_the_buffer(session: Session) -> None:
    neovim = session.neovim
    text = "def add(first, second):\n    return first + second"
    begin(session)  # the model is loaded, without which nothing is offered
    neovim.edit(session.home / f"action_{next(names)}.py", text + "\n")
    neovim.lua(
        "vim.ui.select = function(actions, options, choose)"
        " for index, one in ipairs(actions) do"
        " local action = one.action or one[2]"
        " if action.title == 'Add type annotations' then return choose(one, index) end end end"
    )
    neovim.keys("gg5l")
    neovim.command("lua vim.lsp.buf.code_action()")
    changed = neovim.eventually("text()", lambda now: now != text)
    assert re.fullmatch(r"def add\(first: .*\).*:\n    return first \+ second", changed)
    neovim.keys("u")
    neovim.eventually("text()", lambda now: now == text)


@shows("model switch")
def test_another_model_answers_without_a_restart(neovim_program: Program, tmp_path: Path) -> None:
    with Neovim(neovim_program, tmp_path, SETUP) as neovim:
        session = Session(neovim, tmp_path)
        begin(session)
        running = servers()
        use_twin(tmp_path / "data")

        def is_told_while_typing() -> bool:
            neovim.keys("x<BS>")
            time.sleep(0.2)
            return neovim.lua("return require('inkling.status').known().model") == TWIN

        wait_for(is_told_while_typing)
        begin(session)
        assert servers() == running


@shows("status")
def test_pause_and_resume(session: Session) -> None:
    neovim = session.neovim
    begin(session)
    neovim.command("Inkling pause")
    neovim.eventually("require('inkling').statusline()", lambda line: line == "inkling paused")
    neovim.keys("<Esc>A")
    time.sleep(0.3)
    assert neovim.lua("return ghost()") is None
    neovim.command("Inkling resume")
    neovim.eventually(
        "require('inkling').statusline()", lambda line: line == "inkling (small model)"
    )
    neovim.keys("<Esc>A")
    neovim.ghost()


def test_commands_answer(session: Session) -> None:
    neovim = session.neovim
    begin(session)
    neovim.lua("notices = {}")
    neovim.command("Inkling level quiet")
    neovim.eventually("notices[1]", lambda notice: notice and "level quiet" in notice)
    neovim.command("Inkling level balanced")
    neovim.command("Inkling toggle")
    neovim.eventually("notices[3]", lambda notice: notice and "off for python" in notice)
    neovim.command("Inkling toggle")
    neovim.command("Inkling explain")
    neovim.eventually("notices[5]", lambda notice: notice and "shown" in notice)
    neovim.command("Inkling level wild")
    neovim.eventually("notices[6]", lambda notice: notice and "wild" in notice)


def test_names_are_completed(session: Session) -> None:
    complete = "vim.fn.getcompletion('Inkling {}', 'cmdline')"
    lua = session.neovim.lua
    assert "pause" in lua("return " + complete.format(""))
    assert lua("return " + complete.format("re")) == ["request", "restart", "resume"]
    assert lua("return " + complete.format("level ")) == ["balanced", "eager", "quiet"]
    begin(session)
    assert "inkling.explainLast" in lua("return " + complete.format("server inkling."))


@shows("restart")
@pytest.mark.parametrize("how", ["killed", "asked to"])
def test_the_server_comes_back(session: Session, how: str) -> None:
    neovim = session.neovim
    ghost = begin(session).ghost
    (server,) = servers()
    if how == "killed":
        server.send_signal(signal.SIGKILL)
    else:
        neovim.command("Inkling restart")
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    wait_for(lambda: len(servers()) == 1)
    # Somebody is still typing there, so the new server is asked without a key.
    neovim.eventually("require('inkling.client').get() ~= nil")
    assert neovim.eventually("ghost()").startswith(ghost.split("\n")[0])


def servers() -> list[psutil.Process]:
    return [process for process in children_named("lsp") if "lsp" in command_of(process)[3:4]]


def test_health(session: Session) -> None:
    begin(session)
    session.neovim.keys("<Esc>")
    session.neovim.command("checkhealth inkling")
    report = session.neovim.text()
    assert "the server runs" in report
    assert "ERROR" not in report
    session.neovim.command("bwipeout!")


def test_other_verbs_run_below(session: Session) -> None:
    begin(session)
    session.neovim.command("Inkling stats")
    session.neovim.eventually("text()", lambda text: "suggestions shown" in text)
    session.neovim.command("bwipeout!")


def test_on_a_real_screen(neovim_program: Program, tmp_path: Path) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    file, init = tmp_path / "typed.py", tmp_path / "init.lua"
    file.write_text(BEFORE + AFTER)
    init.write_text(
        f'vim.opt.runtimepath:prepend("{PLUGIN}")\nvim.o.laststatus = 2\n'
        f"vim.o.statusline = \"[%{{luaeval('require([[inkling]]).statusline()')}}]\"\n{SETUP}\n"
    )
    folders = {f"XDG_{name}_HOME": str(tmp_path) for name in ("STATE", "DATA")}
    command = [neovim_program.path, "-n", "-i", "NONE", "-u", init, file]
    with Screen(command, folders, ROOT) as screen:
        screen.shows(r"\[inkling \(small model\)\]")
        screen.type("3G", "o", "for item in ra")
        shown = screen.shows(r"for item in ra\S+.*\S")[0]
        screen.type("Tab", "Escape", ":wq", "Enter")
        wait_for(lambda: shown in file.read_text())


def test_lua_is_clean() -> None:
    if shutil.which("luacheck") is None:
        pytest.skip("luacheck is not installed")
    done = subprocess.run(
        ["luacheck", "-q", "."], check=False, cwd=PLUGIN, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
