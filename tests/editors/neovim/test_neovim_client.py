"""What the Neovim client sends, draws and survives, against a server that a test dictates."""

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.answers import ACCEPTED, Answers
from tests.editors.neovim.editor import Neovim, Program

pytestmark = [pytest.mark.editor, pytest.mark.slow]

names = itertools.count(1)


class Client(Answers):
    """A Neovim of one version beside the server that answers it."""

    def __init__(self, program: Program, home: Path, options: str = "", before: str = "") -> None:
        super().__init__(home)
        self.version = program.version
        words = ", ".join(f'"{word}"' for word in self.command)
        options = f"command = {{ {words} }}, {options}"
        self.neovim = Neovim(program, home, f'{before}\nrequire("inkling").setup({{ {options} }})')

    def open(self, text: str = "", name: str = "") -> None:
        path = self.folder / (name or f"file{next(names)}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.neovim.edit(path, text)
        self.heard("textDocument/didOpen")
        self.forget()


@pytest.fixture(scope="module")
def client(neovim_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(neovim_program, tmp_path_factory.mktemp("client"))
    with client.neovim:
        yield client
        assert client.neovim.lua("return deprecated") == []


@pytest.mark.parametrize(
    ("encoding", "before", "behind"), [("utf-8", 7, 8), ("utf-16", 4, 5), ("utf-32", 3, 4)]
)
def test_places_are_counted_as_the_server_does(
    neovim_program: Program, tmp_path: Path, encoding: str, before: int, behind: int
) -> None:
    if neovim_program.version < (0, 10) and encoding != "utf-16":
        pytest.skip("this Neovim knows UTF-16 alone")
    client = Client(neovim_program, tmp_path)
    start, end = ({"line": 0, "character": character} for character in (before, behind))
    item = {"insertText": "xyz", "range": {"start": start, "end": end}}
    client.answer(encoding=encoding, items=[item])
    with client.neovim as neovim:
        client.open("#\U0001f600é\n")
        neovim.keys("Ax")
        assert client.heard("textDocument/inlineCompletion")[0]["position"] == end
        assert neovim.ghost() == "yz"
        neovim.keys("<Tab>")
        neovim.eventually("text()", lambda text: text == "#\U0001f600éxyz")


@pytest.mark.parametrize(
    ("text", "keys", "answer", "drawn"),
    [
        pytest.param("", "ax", "yz", "yz", id="one-line"),
        pytest.param("", "ax", "y\n  z\n\n\tw", "y\n  z\n\n        w", id="lines-and-tabs"),
        pytest.param("", "ax", "\nz", "\nz", id="begins-with-a-new-line"),
        pytest.param("f()\n", "$ix", ", y", ", y", id="inside-a-line"),
        pytest.param("", "ax", "y\r\nz", "y\nz", id="crlf"),
    ],
)
def test_what_is_drawn_is_what_is_inserted(
    client: Client, text: str, keys: str, answer: str, drawn: str
) -> None:
    client.answer(answer)
    client.open(text)
    client.neovim.command("set tabstop=8")
    client.neovim.keys(keys)
    assert client.neovim.ghost() == drawn
    before = client.neovim.text()
    client.answer()
    client.neovim.keys("<Tab>")
    inserted = answer.replace("\r\n", "\n")
    place = before.index("x") + 1
    expected = before[:place] + inserted + before[place:]
    client.neovim.eventually("text()", lambda text: text == expected)
    client.neovim.keys("!")
    client.neovim.eventually(
        "text()", lambda text: text == before[:place] + inserted + "!" + before[place:]
    )


def test_what_was_accepted_is_undone_by_itself(client: Client) -> None:
    client.answer("y\nz")
    client.open()
    client.neovim.keys("ax")
    client.neovim.ghost()
    client.answer()
    client.neovim.keys("<Tab>")
    client.neovim.eventually("text()", lambda text: text == "xy\nz")
    client.neovim.keys("<Esc>u")
    client.neovim.eventually("text()", lambda text: text == "x")


def test_the_rest_of_a_line_stays_readable(client: Client) -> None:
    client.answer("new")
    client.open("f(old)\n")
    client.neovim.keys("0f(a")
    client.neovim.ghost()
    details = client.neovim.lua(
        "local namespace = vim.api.nvim_get_namespaces().inkling;"
        "return vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })[1][4]"
    )
    texts = [chunk[0] for chunk in details["virt_text"]]
    if client.version < (0, 10):
        assert (details["virt_text_pos"], texts) == ("overlay", ["new", "old)"])
    else:
        assert (details["virt_text_pos"], texts) == ("inline", ["new"])


def test_parts_are_told_in_utf16_units_of_all_of_it(client: Client) -> None:
    client.answer("foo\U0001f600bar baz\r\n  qux\r\n a b")
    client.open()
    client.neovim.keys("ax")
    client.neovim.ghost()
    assert client.heard("textDocument/didShowCompletion")[0]["item"]["command"] == ACCEPTED
    client.answer(delay=20)  # nothing newer comes
    # foo, a pair of units, bar; then baz; then line ends of two units and what follows
    steps = [("<M-Right>", 8), ("<M-Right>", 12), ("<M-C-Right>", 19), ("<M-Right>", 23)]
    for count, (key, length) in enumerate(steps, 1):
        client.neovim.keys(key)
        told = client.heard("textDocument/didPartiallyAcceptCompletion", count)
        assert (told[-1]["acceptedLength"], told[-1]["item"]["command"]) == (length, ACCEPTED)


def test_a_rest_that_is_answered_again_goes_on_counting(client: Client) -> None:
    client.answer("one two three")
    client.open()
    client.neovim.keys("ax")
    client.neovim.ghost()
    client.answer(" two three four")
    client.neovim.keys("<M-Right>")
    client.neovim.eventually("ghost()", lambda ghost: ghost == " two three four")
    client.neovim.keys("<M-Right>")
    told = client.heard("textDocument/didPartiallyAcceptCompletion", 2)
    assert [one["acceptedLength"] for one in told] == [3, 7]
    assert len(client.has_heard("textDocument/didShowCompletion")) == 1


def test_accepting_runs_the_items_command_behind_the_change(client: Client) -> None:
    client.answer("yz")
    client.open()
    client.neovim.keys("ax")
    client.neovim.ghost()
    client.answer()
    client.neovim.keys("<Tab>")
    (ran,) = client.heard("workspace/executeCommand")
    assert ran == {"command": "inkling.accepted", "arguments": ["s-1"]}
    methods = client.methods()
    assert "textDocument/didChange" in methods[: methods.index("workspace/executeCommand")]


def test_stale_requests_are_cancelled(client: Client) -> None:
    client.answer(delay=20)
    client.open()
    client.neovim.keys("a")
    for count, key in enumerate("xyz", 2):
        client.neovim.keys(key)
        client.heard("textDocument/inlineCompletion", count - 1)
    client.heard("$/cancelRequest", 2)
    client.neovim.keys("<Esc>")
    client.heard("$/cancelRequest", 3)


def test_fast_typing_asks_once(client: Client) -> None:
    client.answer("!")
    client.open()
    client.neovim.keys("aabcdefgh")
    client.neovim.ghost()
    assert len(client.has_heard("textDocument/inlineCompletion")) <= 2


def test_one_of_several_is_chosen(client: Client) -> None:
    client.answer("one", "two", "three")
    client.open()
    client.neovim.keys("ax")
    for key, ghost in (("", "one"), ("<M-]>", "two"), ("<M-]>", "three"), ("<M-]>", "one")):
        client.neovim.keys(key)
        client.neovim.eventually("ghost()", lambda shown, ghost=ghost: shown == ghost)
    client.neovim.keys("<M-[><M-[>")
    client.neovim.eventually("ghost()", lambda shown: shown == "two")
    client.neovim.keys("<Tab>")
    client.neovim.eventually("text()", lambda text: text == "xtwo")


def test_more_are_asked_for_where_there_is_one(client: Client) -> None:
    client.answer("one")
    client.open()
    client.neovim.keys("ax")
    client.neovim.ghost()
    client.answer("one", "two")
    client.neovim.keys("<M-]>")
    client.neovim.eventually("ghost()", lambda shown: shown == "two")
    asked = client.has_heard("textDocument/inlineCompletion")
    assert [one["context"]["triggerKind"] for one in asked] == [2, 1]


SPAN = {"start": {"line": 0, "character": 2}, "end": {"line": 0, "character": 3}}


@pytest.mark.parametrize(
    ("item", "text"),
    [
        pytest.param({"insertText": "x)", "range": SPAN}, "f(x)", id="replaces-what-follows"),
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
    client.neovim.keys("$i")
    client.heard("textDocument/inlineCompletion")
    if text is None:
        time.sleep(0.2)
        assert client.neovim.lua("return ghost()") is None
    else:
        client.neovim.ghost()
        client.neovim.keys("<Tab>")
        client.neovim.eventually("text()", lambda now: now == text)


def test_an_answer_that_still_fits_is_shown(client: Client) -> None:
    client.answer("bcd", delay=0.3)
    client.open()
    client.neovim.lua("require('inkling.config').options.debounce_ms = 1000")
    client.neovim.keys("aa<M-Bslash>")
    client.heard("textDocument/inlineCompletion")
    client.neovim.keys("b")
    client.neovim.eventually("ghost()", lambda ghost: ghost == "cd")
    client.neovim.lua("require('inkling.config').options.debounce_ms = 50")


@pytest.mark.parametrize("name", ["cmp", "blink.cmp"])
def test_menus_that_are_windows_count(client: Client, name: str) -> None:
    client.answer("yz")
    client.open()
    method = {"cmp": "visible", "blink.cmp": "is_visible"}[name]
    client.neovim.lua(
        "local name, method = ...; is_open = true;"
        "package.loaded[name] = { [method] = function() return is_open end }",
        name,
        method,
    )
    client.neovim.keys("ax")
    time.sleep(0.2)
    assert client.neovim.lua("return ghost()") is None
    client.neovim.lua("is_open = false")
    client.neovim.keys("w")
    client.neovim.ghost()
    client.neovim.lua("package.loaded[...] = nil", name)


def test_folders_and_languages(client: Client) -> None:
    (client.folder / "project" / ".git").mkdir(parents=True)
    client.neovim.edit(client.folder / "project" / "run.sh", "")
    folder = {"uri": (client.folder / "project").as_uri(), "name": "project"}
    told = client.heard("workspace/didChangeWorkspaceFolders")
    assert told[-1]["event"] == {"added": [folder], "removed": []}
    opened = client.heard("textDocument/didOpen")
    assert opened[-1]["textDocument"]["languageId"] == "shellscript"


def test_a_key_keeps_what_it_was_mapped_to(neovim_program: Program, tmp_path: Path) -> None:
    before = (
        'vim.keymap.set("i", "<Tab>", function() return "EXPR" end, { expr = true })\n'
        'vim.keymap.set("i", "<M-]>", "RHS")\n'
        'vim.keymap.set("i", "<C-]>", function() vim.api.nvim_feedkeys("CALL", "n", true) end)'
    )
    client = Client(neovim_program, tmp_path, before=before)
    with client.neovim as neovim:
        client.open()
        neovim.keys("i<Tab> <M-]> <C-]>")
        neovim.eventually("text()", lambda text: text == "EXPR RHS CALL")
        client.answer("yz")
        neovim.keys("x")
        neovim.ghost()
        neovim.keys("<Tab>")
        neovim.eventually("text()", lambda text: text == "EXPR RHS CALLxyz")


def test_status_is_a_line_and_a_better_model_is_offered(
    neovim_program: Program, tmp_path: Path
) -> None:
    ready = {"state": "ready", "model": "m", "message": "m", "small_model_only": True}
    client = Client(neovim_program, tmp_path)
    with client.neovim as neovim:
        client.answer(statuses=[{"state": "loading", "message": ""}, ready])
        client.open()
        neovim.eventually(
            "require('inkling').statusline()", lambda line: line == "inkling (small model)"
        )
        neovim.eventually("notices[1]", lambda notice: notice and "model add" in notice)
        component = "%{v:lua.require'inkling'.statusline()}"
        line = neovim.lua("return vim.api.nvim_eval_statusline(..., {}).str", component)
        assert line == "inkling (small model)"
        neovim.command("Inkling model decline")
    with Client(neovim_program, tmp_path).neovim as neovim:
        client.answer(statuses=[ready])
        neovim.edit(tmp_path / "again.py", "")
        neovim.eventually(
            "require('inkling').statusline()", lambda line: line == "inkling (small model)"
        )
        time.sleep(0.5)
        assert neovim.lua("return notices") == []


def test_a_server_that_cannot_live_is_left_alone(neovim_program: Program, tmp_path: Path) -> None:
    command = f'command = {{ "{sys.executable}", "-c", "raise SystemExit(3)" }}'
    with Neovim(neovim_program, tmp_path, f"require('inkling').setup({{ {command} }})") as neovim:
        (tmp_path / "a.py").write_text("")
        neovim.command(f"edit {tmp_path / 'a.py'}")
        neovim.eventually(
            "table.concat(notices)", lambda notices: "the server ended 5 times" in notices
        )
        line = neovim.lua("return require('inkling').statusline()")
        assert line == "inkling stopped, see :Inkling restart"


def test_natively(neovim_program: Program, tmp_path: Path) -> None:
    if neovim_program.version < (0, 12):
        pytest.skip("this Neovim has no inline completion of its own")
    client = Client(neovim_program, tmp_path, "native = true")
    with client.neovim as neovim:
        client.answer("yz")
        client.open()
        neovim.keys("ax")
        neovim.eventually("require('inkling').is_visible()")
        assert neovim.lua("return ghost()") is None
        neovim.keys("<Tab>")
        neovim.eventually("text()", lambda text: text == "xyz")
        client.heard("workspace/executeCommand")


def test_enabled_by_neovim_there_is_one_server(neovim_program: Program, tmp_path: Path) -> None:
    if neovim_program.version < (0, 11):
        pytest.skip("this Neovim has no vim.lsp.enable")
    client = Client(neovim_program, tmp_path)
    with client.neovim as neovim:
        neovim.lua("vim.lsp.enable('inkling')")
        client.answer("yz")
        client.open()
        neovim.keys("ax")
        neovim.ghost()
        assert neovim.lua("return #vim.lsp.get_clients()") == 1
