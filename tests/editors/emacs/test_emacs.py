"""Typed into real Emacsen, answered by `inkling lsp` with the model that ships."""

import itertools
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.editors.emacs.editor import Emacs, Program, lisp_list
from tests.editors.models import TWIN, use_twin
from tests.support.processes import children_named, command_of
from tests.support.raw_client import PATIENCE_SECONDS

pytestmark = [pytest.mark.editor, pytest.mark.slow]

COMMAND = lisp_list([sys.executable, "-m", "inkling"])
# What other tests leave in their files is no evidence.
SETUP = f"""(setq inkling-command {COMMAND} inkling-settings '(:otherTexts "none"))
(require 'inkling)
(inkling-global-mode)"""
BEFORE = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n"
AFTER = "\n    def norm(self):\n        return (self.x**2 + self.y**2) ** 0.5\n"


class Session(NamedTuple):
    emacs: Emacs
    home: Path
    names: Iterator[int]


class Begun(NamedTuple):
    """What was typed into a line of its own, and the ghost text that came of it."""

    typed: str
    ghost: str


@pytest.fixture(scope="module")
def session(emacs_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    home = tmp_path_factory.mktemp("emacs")
    with Emacs(emacs_program, home, SETUP) as emacs:
        yield Session(emacs, home, itertools.count(1))


def begin(
    session: Session, *, before: str = BEFORE, wanted: str = "is No", end: str = "\n"
) -> Begun:
    """Type into a new line of a file and wait for what comes.

    Each time another name stands there: what was rejected once is not shown again.
    """
    emacs, typed = session.emacs, f"        if item{next(session.names)} {wanted}"
    path = session.home / f"point_{time.monotonic_ns()}.py"
    emacs.edit(path, (before + "\n" + AFTER).replace("\n", end))
    emacs.lisp(f"(progn (goto-char (point-min)) (forward-line {before.count(chr(10))}))")
    emacs.keys(typed)
    return Begun(typed, emacs.ghost())


def dismiss(session: Session) -> None:
    """Type what quits whatever Emacs does, so it is asked nothing at that moment."""
    session.emacs.terminal.wait_until_still(0.1)
    session.emacs.keys("<C-g>")
    session.emacs.terminal.wait_until_still(0.2)


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


shows = pytest.mark.shows


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        pytest.param(
            "<Tab>", r"(?s).*", id="all", marks=[shows("accept all"), shows("ghost text")]
        ),
        pytest.param("<M-Right>", r"\s*\w+|\s*[^\w\s]+", id="word", marks=shows("accept word")),
        pytest.param("<M-C-Right>", r"\n*[^\n]*", id="line", marks=shows("accept line")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("head", ["", "# \U0001d4b3\U0001f600 é\n"], ids=["ascii", "astral"])
def test_accepting_inserts_what_is_shown(
    session: Session, key: str, pattern: str, end: str, head: str
) -> None:
    wanted = '== "\U0001f600" or x is No' if head else "is No"
    typed, ghost = begin(session, before=head + BEFORE, wanted=wanted, end=end)
    piece = re.match(pattern, ghost)[0]
    session.emacs.keys(key)
    expected = head + BEFORE + typed + piece + "\n" + AFTER
    session.emacs.eventually("(test-text)", lambda text: text == expected)
    if piece == ghost:
        session.emacs.eventually('(or (test-ghost) "")', lambda shown: not shown.startswith(ghost))
    else:
        rest = ghost[len(piece) :]
        session.emacs.eventually('(or (test-ghost) "")', lambda shown: shown.startswith(rest))


def test_the_server_hears_what_was_accepted(session: Session) -> None:
    begin(session)
    told = len(journal(session))
    session.emacs.keys("<M-Right>")
    wait_for(lambda: "partly" in journal(session)[told:])
    session.emacs.ghost()
    session.emacs.keys("<Tab>")
    wait_for(lambda: "accepted" in journal(session)[told:])


@pytest.mark.shows("typed through")
def test_what_is_typed_through_never_flickers(session: Session) -> None:
    typed, ghost = begin(session)
    through = ghost.split("\n")[0][:6]
    session.emacs.lisp("(test-record)")
    for key in through:
        session.emacs.keys(key)
        time.sleep(0.03)
    session.emacs.eventually("(test-line)", lambda line: line == typed + through)
    first_line = typed + ghost.split("\n")[0]
    painted = session.emacs.lisp("test-painted")
    assert len(painted) == len(through)
    for line, drawn in painted:
        assert (line + drawn.split("\n")[0]).startswith(first_line)


def test_typing_something_else_takes_it_back_at_once(session: Session) -> None:
    ghost = begin(session).ghost
    session.emacs.lisp("(test-record)")
    session.emacs.keys("q" if not ghost.startswith("q") else "z")
    session.emacs.eventually("test-painted")
    assert session.emacs.lisp("test-painted")[-1][1] == ""


def test_a_pure_move_takes_it_back(session: Session) -> None:
    begin(session)
    session.emacs.keys("<Left>")
    session.emacs.eventually("(not (test-ghost))")


def test_it_is_dismissed_and_asked_for_again(session: Session) -> None:
    ghost = begin(session).ghost
    dismiss(session)
    session.emacs.eventually("(not (test-ghost))")
    time.sleep(0.2)  # nothing comes back by itself
    assert session.emacs.lisp("(test-ghost)") is None
    session.emacs.keys("<Request>")
    assert session.emacs.ghost().startswith(ghost.split("\n")[0])


@pytest.mark.shows("next, previous")
def test_who_asks_for_another_gets_another(session: Session) -> None:
    emacs = session.emacs
    typed, ghost = begin(session)
    emacs.keys("<M-n>")
    other = emacs.eventually("(test-ghost)", lambda shown: shown and shown != ghost)
    emacs.keys("<M-p>")
    emacs.eventually("(test-ghost)", lambda shown: shown and shown != other)
    emacs.keys("<M-n>", "<Tab>")
    emacs.eventually("(test-text)", lambda text: typed + other in text)


def test_without_a_suggestion_keys_do_what_they_did(session: Session) -> None:
    typed = begin(session).typed
    dismiss(session)
    session.emacs.eventually("(not (test-ghost))")
    for key, command in (("TAB", "indent-for-tab-command"), ("C-g", "keyboard-quit")):
        assert session.emacs.lisp(f'(symbol-name (key-binding (kbd "{key}")))') == command
    assert session.emacs.lisp("(test-line)") == typed


@pytest.mark.shows("menu keeps its keys")
def test_an_open_menu_keeps_its_keys(session: Session) -> None:
    emacs = session.emacs
    emacs.lisp(
        '(progn (defun test-capf () (list (- (point) (if (looking-back "m" 1) 3 2)) (point)'
        ' (list "Nomad" "North"))) (setq completion-styles (list (quote basic))) t)'
    )
    typed, ghost = begin(session)
    emacs.lisp("(setq-local completion-at-point-functions '(test-capf))")
    emacs.keys("<C-M-i>")
    emacs.eventually("completion-in-region-mode")
    emacs.eventually("(not (test-ghost))")
    time.sleep(0.2)  # nothing comes while the menu is open
    assert emacs.lisp("(test-ghost)") is None
    emacs.keys("m", "<Tab>")
    line = emacs.eventually("(test-line)", lambda line: line != typed + "m")
    assert line == typed + "mad"
    assert ghost.split("\n")[0] not in line


@pytest.mark.shows("code action")
def test_a_code_action_changes_the_buffer(session: Session) -> None:
    emacs = session.emacs
    text = "def add(first, second):\n    return first + second\n"
    emacs.edit(session.home / f"action_{next(session.names)}.py", text)
    emacs.lisp("(goto-char 6)")
    emacs.keys("<Actions>")
    emacs.eventually("(minibufferp (window-buffer (active-minibuffer-window)))")
    emacs.keys("Add type", "<Tab>", "<CR>")
    changed = emacs.eventually("(test-text)", lambda now: now != text)
    assert re.fullmatch(r"def add\(.*:.*\).*:\n    return first \+ second\n", changed)
    emacs.keys("<Undo>")
    emacs.eventually("(test-text)", lambda now: now == text)


@pytest.mark.shows("model switch")
def test_another_model_answers_without_a_restart(emacs_program: Program, tmp_path: Path) -> None:
    with Emacs(emacs_program, tmp_path, SETUP) as emacs:
        session = Session(emacs, tmp_path, itertools.count(1))
        begin(session)
        running = servers()
        use_twin(tmp_path)

        def is_told_while_typing() -> bool:
            emacs.keys("x", "<Backspace>")
            time.sleep(0.2)
            return emacs.lisp("(plist-get inkling-server-status :model)") == TWIN

        wait_for(is_told_while_typing)
        begin(session)
        assert servers() == running


@pytest.mark.shows("status")
def test_pause_and_resume(session: Session) -> None:
    emacs = session.emacs
    begin(session)
    emacs.lisp("(inkling-pause)")
    emacs.eventually("(inkling-lighter)", lambda line: line == " Inkling:paused")
    emacs.keys("n")
    time.sleep(0.3)
    assert emacs.lisp("(test-ghost)") is None
    emacs.lisp("(inkling-resume)")
    emacs.eventually("(inkling-lighter)", lambda line: line == " Inkling:small model")
    emacs.keys("<Backspace>")
    emacs.keys("n")
    emacs.ghost()
    assert "Inkling:small model" in emacs.lisp("(format-mode-line mode-line-format)")


def test_commands_answer(session: Session) -> None:
    emacs = session.emacs
    begin(session)
    for command, said in (
        ('(inkling-set-level "quiet")', "level quiet"),
        ('(inkling-set-level "balanced")', "level balanced"),
        ("(inkling-toggle-language)", "off; "),
        ("(inkling-toggle-language)", "small model; "),
        ("(inkling-explain-last)", "shown"),
        ('(inkling-set-level "wild")', "wild"),
        ('(inkling-server-command "inkling.status")', ":model"),
    ):
        emacs.lisp(
            "(with-current-buffer (messages-buffer) (let ((inhibit-read-only t)) (erase-buffer)))"
        )
        emacs.lisp(f"(progn {command} t)")
        emacs.eventually(f'(test-said "{said}")')
    assert "inkling.explainLast" in emacs.lisp("(inkling-server-commands)")


@pytest.mark.parametrize("how", ["killed", "asked to"])
@pytest.mark.shows("restart")
def test_the_server_comes_back(session: Session, how: str) -> None:
    emacs = session.emacs
    ghost = begin(session).ghost
    (server,) = servers()
    if how == "killed":
        server.send_signal(signal.SIGKILL)
    else:
        emacs.lisp("(progn (inkling-restart) t)")
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    wait_for(lambda: len(servers()) == 1)
    # Somebody is still typing there, so the new server is asked without a key.
    assert emacs.ghost().startswith(ghost.split("\n")[0])


def servers() -> list[psutil.Process]:
    return [process for process in children_named("lsp") if "lsp" in command_of(process)[3:4]]


def test_other_verbs_run_in_a_window(session: Session) -> None:
    begin(session)
    session.emacs.lisp("(progn (inkling-stats) t)")
    session.emacs.eventually("(test-text)", lambda text: "suggestions shown" in text)
