"""What the Emacs client sends, draws and survives, against a server that a test dictates."""

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.answers import ACCEPTED, Answers
from tests.editors.emacs.editor import Emacs, Program, lisp_list

pytestmark = [pytest.mark.editor, pytest.mark.slow]

names = itertools.count(1)


class Client(Answers):
    """An Emacs of one version beside the server that answers it."""

    def __init__(self, program: Program, home: Path, setup: str = "") -> None:
        super().__init__(home)
        command = f"(setq inkling-command {lisp_list(self.command)})"
        self.emacs = Emacs(program, home, f"{command}\n(require 'inkling)\n{setup}\n{GLOBAL}")

    def open(self, text: str = "", name: str = "") -> None:
        path = self.folder / (name or f"file{next(names)}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.emacs.edit(path, text)
        self.heard("textDocument/didOpen")
        self.forget()

    def text_is(self, expected: str) -> None:
        self.emacs.eventually("(test-text)", lambda text: text == expected)


GLOBAL = "(inkling-global-mode)"


@pytest.fixture(scope="module")
def client(emacs_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(emacs_program, tmp_path_factory.mktemp("client"))
    with client.emacs:
        yield client


@pytest.mark.parametrize(
    ("text", "place", "keys", "answer", "drawn"),
    [
        pytest.param("", 1, "x", "yz", "yz", id="one-line"),
        pytest.param("", 1, "x", "y\n  z\n\n\tw", "y\n  z\n\n\tw", id="lines-and-tabs"),
        pytest.param("", 1, "x", "\nz", "\nz", id="begins-with-a-new-line"),
        pytest.param("f()\n", 3, "x", ", y", ", y", id="inside-a-line"),
        pytest.param("f()\n", 3, "x", ",\n  y", ",\n  y", id="lines-inside-a-line"),
        pytest.param("", 1, "x", "y\r\nz", "y\nz", id="crlf"),
        pytest.param("#\U0001f600é\n", 4, "x", "yz", "yz", id="astral"),
    ],
)
def test_what_is_drawn_is_what_is_inserted(
    client: Client, text: str, place: int, keys: str, answer: str, drawn: str
) -> None:
    client.answer(answer)
    client.open(text)
    client.emacs.lisp(f"(goto-char {place})")
    client.emacs.keys(keys)
    assert client.emacs.ghost() == drawn
    (asked,) = client.has_heard("textDocument/inlineCompletion")
    assert asked["position"] == {"line": 0, "character": place}
    before = client.emacs.text()
    client.answer()
    client.emacs.keys("<Tab>")
    inserted = answer.replace("\r\n", "\n")
    client.text_is(before[:place] + inserted + before[place:])
    client.emacs.keys("!")
    client.text_is(before[:place] + inserted + "!" + before[place:])


def test_the_cursor_stays_before_what_is_drawn(client: Client) -> None:
    client.answer("yz")
    client.open()
    client.emacs.keys("x")
    client.emacs.ghost()
    drawn = "(overlay-get (car inkling-ghost--overlays) 'after-string)"
    assert client.emacs.lisp(f"(get-text-property 0 'cursor {drawn})") is True


def test_what_was_accepted_is_undone_by_itself(client: Client) -> None:
    client.answer("y\nz")
    client.open()
    client.emacs.keys("x")
    client.emacs.ghost()
    client.answer()
    client.emacs.keys("<Tab>")
    client.text_is("xy\nz")
    client.emacs.keys("<Undo>")
    client.text_is("x")


def test_parts_are_told_in_utf16_units_of_all_of_it(client: Client) -> None:
    client.answer("foo\U0001f600bar baz\r\n  qux\r\n a b")
    client.open()
    client.emacs.keys("x")
    client.emacs.ghost()
    assert client.heard("textDocument/didShowCompletion")[0]["item"]["command"] == ACCEPTED
    client.answer(delay=20)  # nothing newer comes
    # foo, a pair of units, bar; then baz; then line ends of two units and what follows
    steps = [("<M-Right>", 8), ("<M-Right>", 12), ("<M-C-Right>", 19), ("<M-Right>", 23)]
    for count, (key, length) in enumerate(steps, 1):
        client.emacs.keys(key)
        told = client.heard("textDocument/didPartiallyAcceptCompletion", count)
        assert (told[-1]["acceptedLength"], told[-1]["item"]["command"]) == (length, ACCEPTED)


def test_a_rest_that_is_answered_again_goes_on_counting(client: Client) -> None:
    client.answer("one two three")
    client.open()
    client.emacs.keys("x")
    client.emacs.ghost()
    client.answer(" two three four")
    client.emacs.keys("<M-Right>")
    client.emacs.eventually("(test-ghost)", lambda ghost: ghost == " two three four")
    client.emacs.keys("<M-Right>")
    told = client.heard("textDocument/didPartiallyAcceptCompletion", 2)
    assert [one["acceptedLength"] for one in told] == [3, 7]
    assert len(client.has_heard("textDocument/didShowCompletion")) == 1


def test_accepting_runs_the_items_command_behind_the_change(client: Client) -> None:
    client.answer("yz")
    client.open()
    client.emacs.keys("x")
    client.emacs.ghost()
    client.answer()
    client.emacs.keys("<Tab>")
    (ran,) = client.heard("workspace/executeCommand")
    assert ran == {"command": "inkling.accepted", "arguments": ["s-1"]}
    changes = client.has_heard("textDocument/didChange")[:2]
    assert [one["contentChanges"][0]["text"] for one in changes] == ["x", "yz"]
    methods = client.methods()
    assert methods.index("workspace/executeCommand") > methods.index("textDocument/didChange")


def test_stale_requests_are_cancelled(client: Client) -> None:
    client.answer(delay=20)
    client.open()
    for count, key in enumerate("xyz", 1):
        client.emacs.keys(key)
        client.heard("textDocument/inlineCompletion", count)
    client.heard("$/cancelRequest", 2)
    client.emacs.keys("<Left>")
    client.heard("$/cancelRequest", 3)


def test_fast_typing_asks_once(client: Client) -> None:
    client.answer("!")
    client.open()
    client.emacs.keys("abcdefgh")
    client.emacs.ghost()
    assert len(client.has_heard("textDocument/inlineCompletion")) <= 2


def test_one_of_several_is_chosen(client: Client) -> None:
    client.answer("one", "two", "three")
    client.open()
    client.emacs.keys("x")
    for key, ghost in (("", "one"), ("<M-n>", "two"), ("<M-n>", "three"), ("<M-n>", "one")):
        client.emacs.keys(key)
        client.emacs.eventually("(test-ghost)", lambda shown, ghost=ghost: shown == ghost)
    client.emacs.keys("<M-p>", "<M-p>")
    client.emacs.eventually("(test-ghost)", lambda shown: shown == "two")
    client.emacs.keys("<Tab>")
    client.text_is("xtwo")


def test_more_are_asked_for_where_there_is_one(client: Client) -> None:
    client.answer("one")
    client.open()
    client.emacs.keys("x")
    client.emacs.ghost()
    client.answer("one", "two")
    client.emacs.keys("<M-n>")
    client.emacs.eventually("(test-ghost)", lambda shown: shown == "two")
    asked = client.has_heard("textDocument/inlineCompletion")
    assert [one["context"]["triggerKind"] for one in asked] == [2, 1]


SPAN = {"start": {"line": 0, "character": 2}, "end": {"line": 0, "character": 3}}


@pytest.mark.parametrize(
    ("item", "text"),
    [
        pytest.param({"insertText": "x)", "range": SPAN}, "f(x)\n", id="replaces-what-follows"),
        pytest.param(
            {"insertText": "x", "range": {"start": SPAN["end"], "end": SPAN["end"]}},
            None,
            id="elsewhere",
        ),
        pytest.param({"insertText": {"kind": "snippet", "value": "$1"}}, None, id="snippet"),
        pytest.param({"insertText": ""}, None, id="empty"),
    ],
)
def test_an_items_range(client: Client, item: dict[str, Any], text: str | None) -> None:
    client.answer(items=[item])
    client.open("f()\n")
    client.emacs.lisp("(goto-char 3)")
    client.emacs.keys("<Request>")
    client.heard("textDocument/inlineCompletion")
    if text is None:
        time.sleep(0.2)
        assert client.emacs.lisp("(test-ghost)") is None
    else:
        client.emacs.ghost()
        client.emacs.keys("<Tab>")
        client.text_is(text)


def test_an_answer_that_still_fits_is_shown(client: Client) -> None:
    client.answer("bcd", delay=0.3)
    client.open()
    client.emacs.lisp("(setq inkling-idle-delay 1)")
    client.emacs.keys("a", "<Request>")
    client.heard("textDocument/inlineCompletion")
    client.emacs.keys("b")
    client.emacs.eventually("(test-ghost)", lambda ghost: ghost == "cd")
    client.emacs.lisp("(setq inkling-idle-delay 0.05)")


def test_each_change_is_told_so_that_the_server_has_the_text(client: Client) -> None:
    """Whatever changes a buffer: the server's text is the buffer's."""
    text = "one\ntwo é\U0001f600 three\nfour\n"
    client.open(text)
    for code in (
        "(progn (goto-char 6) (upcase-word 2))",
        "(progn (goto-char 3) (delete-region 3 7))",
        '(progn (goto-char (point-max)) (insert "five\nsix"))',
        "(sort-lines nil (point-min) (point-max))",
        '(progn (goto-char (point-min)) (while (re-search-forward "e" nil t) (replace-match "E")))',
        "(transpose-regions 1 3 5 8)",
        '(save-restriction (narrow-to-region 5 8) (goto-char 6) (insert "x\n"))',
    ):
        client.emacs.lisp(f"(progn {code} (inkling-document-flush) t)")
        time.sleep(0.02)
    client.emacs.lisp("(progn (inkling-server-notify :done nil) t)")
    client.heard("done")
    for change in client.has_heard("textDocument/didChange"):
        for one in change["contentChanges"]:
            text = applied(text, one)
    assert text == client.emacs.text()


def applied(text: str, change: dict[str, Any]) -> str:
    """Return the text behind one change, whose places count characters."""
    if "range" not in change:
        return change["text"]
    lines = text.splitlines(keepends=True)
    start, end = (
        sum(map(len, lines[: place["line"]])) + place["character"]
        for place in (change["range"]["start"], change["range"]["end"])
    )
    return text[:start] + change["text"] + text[end:]


def test_what_flymake_found_is_what_can_be_repaired(client: Client) -> None:
    client.open("x = yy\n")
    client.emacs.lisp(
        "(progn (defun test-backend (report &rest _) (funcall report"
        ' (list (flymake-make-diagnostic (current-buffer) 5 7 :error "no yy"))))'
        " (setq-local flymake-diagnostic-functions '(test-backend))"
        " (flymake-mode) (flymake-start) (goto-char 6) t)"
    )
    client.emacs.eventually("(and (flymake-diagnostics) t)")
    client.emacs.keys("<Actions>")
    (asked,) = client.heard("textDocument/codeAction")
    span = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 6}}
    assert asked["context"]["diagnostics"] == [{"range": span, "message": "no yy"}]
    assert asked["range"]["start"] == asked["range"]["end"] == {"line": 0, "character": 5}


def test_folders_and_languages(client: Client) -> None:
    (client.folder / "project" / ".git").mkdir(parents=True)
    client.forget()
    client.emacs.edit(client.folder / "project" / "run.sh", "")
    folder = {"uri": (client.folder / "project").as_uri(), "name": "project"}
    told = client.heard("workspace/didChangeWorkspaceFolders")
    assert told[-1]["event"] == {"added": [folder], "removed": []}
    (opened,) = client.heard("textDocument/didOpen")
    assert opened["textDocument"]["languageId"] == "shellscript"
    client.emacs.lisp("(progn (text-mode) t)")
    client.heard("textDocument/didClose")
    assert client.heard("textDocument/didOpen", 2)[1]["textDocument"]["languageId"] == "plaintext"


def test_status_is_a_line_and_a_better_model_is_offered_once(
    emacs_program: Program, tmp_path: Path
) -> None:
    ready = {"state": "ready", "model": "m", "message": "m", "small_model_only": True}
    client = Client(emacs_program, tmp_path)
    with client.emacs as emacs:
        client.answer(statuses=[{"state": "loading", "message": ""}, ready])
        client.open()
        emacs.eventually("(inkling-lighter)", lambda line: line == " Inkling:small model")
        emacs.eventually('(test-said "M-x inkling-add-model fetches a better one")')
        emacs.lisp("(progn (inkling-decline-models) t)")
    with Client(emacs_program, tmp_path).emacs as emacs:
        client.answer(statuses=[ready])
        emacs.edit(tmp_path / "again.py", "")
        emacs.eventually("(inkling-lighter)", lambda line: line == " Inkling:small model")
        time.sleep(0.5)
        assert not emacs.lisp('(test-said "inkling-add-model")')


def test_a_server_that_cannot_live_is_left_alone(emacs_program: Program, tmp_path: Path) -> None:
    command = lisp_list([sys.executable, "-c", "raise SystemExit(3)"])
    setup = f"(setq inkling-command {command})\n(require 'inkling)\n{GLOBAL}"
    with Emacs(emacs_program, tmp_path, setup) as emacs:
        (tmp_path / "a.py").write_text("")
        emacs.lisp(f'(progn (find-file "{tmp_path}/a.py") t)')
        emacs.eventually('(test-said "the server ended 5 times")')
        assert emacs.lisp("(inkling-lighter)") == " Inkling:stopped"


def test_without_a_program_one_command_is_shown_once(
    emacs_program: Program, tmp_path: Path
) -> None:
    setup = (
        '(dolist (name \'("VIRTUAL_ENV" "UV_TOOL_BIN_DIR" "XDG_BIN_HOME" "PIPX_BIN_DIR"))'
        " (setenv name nil))\n"
        f"(setq exec-path nil)\n(require 'inkling)\n{GLOBAL}"
    )
    with Emacs(emacs_program, tmp_path, setup) as emacs:
        for name in ("a.py", "b.py"):
            (tmp_path / name).write_text("")
            emacs.lisp(f'(progn (find-file "{tmp_path / name}") t)')
        advice = "`python3 -m pip install --user inkling-lsp' installs it"
        assert (
            emacs.lisp(
                f'(with-current-buffer (messages-buffer) (count-matches "{advice}" (point-min)))'
            )
            == 1
        )
        assert emacs.lisp("(inkling-lighter)") == " Inkling:not installed"
