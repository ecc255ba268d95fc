"""Options, the search for the program and the plugin's start in Neovim: no server runs."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.neovim.editor import PLUGIN, Neovim, Program

pytestmark = [pytest.mark.editor, pytest.mark.slow]


@pytest.fixture(scope="module")
def neovim(neovim_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    """A Neovim whose configuration names the plugin and no more."""
    with Neovim(neovim_program, tmp_path_factory.mktemp("options"), "") as neovim:
        yield neovim


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        pytest.param("{}", [], id="none"),
        pytest.param('{ keys = { accept = "<C-l>", next = false } }', [], id="keys"),
        pytest.param('{ settings = { level = "quiet" } }', [], id="settings"),
        pytest.param(
            "{ debounce = 3 }",
            ["there is no option debounce; remove it, or use one of: args, command, debounce_ms"],
            id="unknown",
        ),
        pytest.param(
            "{ debounce_ms = 1.5 }",
            ["debounce_ms = 1.5 makes no sense: a whole number from 0 to 1000; its default holds"],
            id="wrong",
        ),
        pytest.param(
            "{ keys = { acept = '<C-l>' } }",
            ["there is no option keys.acept; remove it, or use one of: accept, accept_line"],
            id="unknown-key",
        ),
        pytest.param(
            "{ keys = false, command = 'inkling' }",
            ['command = "inkling" makes no sense: a list of', "keys = false makes no sense: a tab"],
            id="two",
        ),
        pytest.param("3", ["setup takes a table of options"], id="no-table"),
    ],
)
def test_options_that_make_no_sense_are_named(
    neovim: Neovim, options: str, problems: list[str]
) -> None:
    told = neovim.lua(f"return ({{ require('inkling.config').read({options}) }})[2]")
    assert len(told) == len(problems)
    assert all(one.startswith(problem) for one, problem in zip(told, problems, strict=True))


def test_what_makes_sense_holds_beside_what_does_not(neovim: Neovim) -> None:
    read = "require('inkling.config').read({ debounce_ms = 40, native = 3, keys = { x = 1 } })"
    options = neovim.lua(f"return ({read})")
    assert (options["debounce_ms"], options["native"]) == (40, False)
    assert options["keys"]["accept"] == "<Tab>"


PLACES = ("VIRTUAL_ENV", "UV_TOOL_BIN_DIR", "PIPX_BIN_DIR", "HOME", "PATH")


@pytest.mark.parametrize("first", PLACES)
def test_the_program_is_found_where_people_install_it(
    neovim: Neovim, tmp_path: Path, first: str
) -> None:
    """In the first of these places that has it, and nowhere else."""
    environment = {}
    for place in PLACES:
        folder = tmp_path / place
        environment[place] = str(folder)
        inside = {"VIRTUAL_ENV": "bin", "HOME": ".local/bin"}.get(place, "")
        program = folder / inside / "inkling"
        program.parent.mkdir(parents=True)
        if PLACES.index(place) >= PLACES.index(first):
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
    found = neovim.lua(
        "local before, given = {}, ...;"
        "for name, value in pairs(given) do before[name] = vim.env[name] or ''; "
        "vim.env[name] = value end;"
        "local command = require('inkling.find').command();"
        "for name, value in pairs(before) do vim.env[name] = value ~= '' and value or nil end;"
        "return command",
        environment,
    )
    assert len(found) == 1
    assert Path(found[0]).is_relative_to(tmp_path / first)


def test_a_workspace_names_no_program(neovim: Neovim, tmp_path: Path) -> None:
    for place in ("", ".venv/bin", "bin", "node_modules/.bin"):
        program = tmp_path / place / "inkling"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    found = neovim.lua(
        "local path, active = vim.env.PATH, vim.env.VIRTUAL_ENV; vim.cmd('cd ' .. ...);"
        "vim.env.PATH, vim.env.VIRTUAL_ENV = '/nowhere', nil;"
        "local command = require('inkling.find').command();"
        "vim.env.PATH, vim.env.VIRTUAL_ENV = path, active; return command",
        str(tmp_path),
    )
    assert found is None or not Path(found[0]).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ('[{"name": "a", "state": "installed"}, {"name": "b", "state": "can be added"}]', "b"),
        ('[{"name": "a", "state": "installed"}]', None),
        ("[3, null]", None),
        ("no JSON", None),
    ],
)
def test_the_first_model_that_can_be_added_is_offered(
    neovim: Neovim, listed: str, name: str | None
) -> None:
    row = neovim.lua("return require('inkling.program').addable(...)", listed)
    assert (row or {}).get("name") == name


def test_without_a_program_one_command_is_shown_once(
    neovim_program: Program, tmp_path: Path
) -> None:
    setup = (
        f'vim.env.PATH, vim.env.HOME, vim.env.VIRTUAL_ENV = "/nowhere", "{tmp_path}", nil\n'
        "vim.env.UV_TOOL_BIN_DIR, vim.env.PIPX_BIN_DIR = nil, nil"
    )
    with Neovim(neovim_program, tmp_path, setup) as neovim:
        for name in ("a.py", "b.py"):
            neovim.command(f"edit {tmp_path / name}")
        (notice,) = neovim.lua("return notices")
        assert "`python3 -m pip install --user inkling-lsp` installs it" in notice
        line = neovim.lua("return require('inkling').statusline()")
        assert line == "inkling not installed"
        neovim.command("Inkling status")
        assert "python3 -m pip install" in neovim.lua("return notices[2]")
        neovim.command("checkhealth inkling")
        assert "is not installed" in neovim.text()


def test_the_plugin_starts_by_itself(neovim: Neovim) -> None:
    neovim.eventually("require('inkling').is_set_up")
    assert "inkling" in neovim.lua("return vim.fn.maparg('<Tab>', 'i', false, true).desc")


def test_an_unknown_command_names_those_there_are(neovim: Neovim) -> None:
    neovim.command("Inkling sing")
    notice = neovim.lua("return notices[#notices]")
    assert notice.startswith("inkling: there is no sing; there are: accept, ")
    assert "toggle" in notice


def test_setup_again_takes_the_new_keys_and_gives_back_the_old(neovim: Neovim) -> None:
    neovim.lua("vim.keymap.set('i', '<C-l>', 'MINE')")
    mapped = "vim.fn.maparg({!r}, 'i', false, true)".format
    for key in ("<C-l>", "<Tab>"):
        neovim.lua("require('inkling').setup({ keys = { accept = ... } })", key)
        assert neovim.lua(f"return {mapped(key)}.desc") == "inkling: accept('all')"
    assert neovim.lua(f"return {mapped('<C-l>')}.rhs") == "MINE"


@pytest.mark.parametrize(
    ("text", "part", "piece"),
    [
        pytest.param("one two", "word", "one", id="word"),
        pytest.param(" two(", "word", " two", id="blanks-before-a-word"),
        pytest.param("()[0]", "word", "()[", id="signs"),
        pytest.param("\n    é_1 x", "word", "\n    é_1", id="word-of-the-next-line"),
        pytest.param("  ", "word", "  ", id="blanks-alone"),
        pytest.param("a b\nc", "line", "a b", id="line"),
        pytest.param("\nc d\ne", "line", "\nc d", id="next-line"),
        pytest.param("a\nb", "all", "a\nb", id="all"),
    ],
)
def test_pieces(neovim: Neovim, text: str, part: str, piece: str) -> None:
    assert neovim.lua("return require('inkling.suggestion').piece(...)", text, part) == piece


def test_the_manual_has_its_tags(neovim: Neovim, tmp_path: Path) -> None:
    shutil.copytree(PLUGIN / "doc", tmp_path / "doc")
    neovim.command(f"helptags {tmp_path / 'doc'}")
    tags = {line.split("\t")[0] for line in (tmp_path / "doc" / "tags").read_text().splitlines()}
    named = re.findall(r"\|(inkling[-\w]*)\|", (PLUGIN / "doc" / "inkling.txt").read_text())
    assert set(named) <= tags
    assert {"inkling", ":Inkling", "inkling.setup()"} <= tags


@pytest.mark.parametrize(
    ("names", "written"),
    [
        ("vim.fn.getcompletion('Inkling ', 'cmdline')", r"^:Inkling \[?{}\b"),
        ("vim.tbl_keys(require('inkling.config').read({}))", r"^{} "),
    ],
    ids=["commands", "options"],
)
def test_the_manual_names_them_all(neovim: Neovim, names: str, written: str) -> None:
    manual = (PLUGIN / "doc" / "inkling.txt").read_text()
    missing = [
        name
        for name in neovim.lua(f"return {names}")
        if not re.search(written.format(name), manual, re.MULTILINE)
    ]
    assert missing == []
