"""What each editor is set up with, in a home of its own, by the command itself."""

import json
import os
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from inkling.setup import vscode
from inkling.setup.cli import EDITORS, setup
from tests.support.raw_client import ROOT

HELIX = """\
print("Configured language servers:")
print("  \\x1b[31m✘\\x1b[m pylsp: 'pylsp' not found in $PATH")
print("  \\x1b[31m✘\\x1b[m inkling: somewhere")
print("Configured debug adapter: None")
"""
CODE = """\
import pathlib, sys
kept = pathlib.Path(__file__).with_name("extensions")
kept.touch()
match sys.argv[1]:
    case "--list-extensions":
        print(kept.read_text())
    case "--install-extension":
        kept.write_text("other.one@1.0.0\\nInkling.inkling@0.1.0\\n")
    case "--uninstall-extension":
        kept.write_text("other.one@1.0.0\\n")
"""


class User:
    """A home, and a PATH on which only what a test puts there is found."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.commands = home / "commands"
        self.commands.mkdir()

    def has(self, command: str, script: str) -> None:
        path = self.commands / command
        path.write_text(f"#!{sys.executable}\n{script}", "utf-8")
        path.chmod(0o755)

    def holds(self, place: str, text: str) -> Path:
        path = self.home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def files(self) -> dict[str, str]:
        """Return what lies in the home, but for backups and the commands' own."""
        return {
            name: os.fspath(path.readlink()) if path.is_symlink() else path.read_text("utf-8")
            for path in self.home.rglob("*")
            if path.is_symlink() or path.is_file()
            if not (name := path.relative_to(self.home).as_posix()).startswith(
                (".local/state", "commands/")
            )
        }

    def run(self, *arguments: str, fails: bool = False) -> str:
        done = CliRunner().invoke(setup, arguments)
        assert (done.exception is not None) == fails, done.output
        return str(done.exception) if fails else done.output


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "NVIM_APPNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".local" / "state"))
    monkeypatch.setenv("HOME", str(home))
    found = User(home)
    monkeypatch.setenv("PATH", str(found.commands))
    extension = home / ".local" / "state" / "inkling.vsix"
    extension.parent.mkdir(parents=True)
    with zipfile.ZipFile(extension, "w") as archive:
        manifest = (ROOT / "editors" / "vscode" / "package.json").read_text("utf-8")
        archive.writestr("extension/package.json", manifest)
    real = vscode.client_folder
    folders: Callable[[str], Path] = lambda name: (  # noqa: E731
        extension.parent if name == "vscode" else real(name)
    )
    monkeypatch.setattr(vscode, "client_folder", folders)
    return found


def prepare(user: User) -> None:
    user.has("hx", HELIX)
    user.has("code", CODE)
    user.holds(".config/helix/languages.toml", '[[language]]\nname = "rust"\nauto-format = true\n')
    user.holds(".vimrc", "set number\n")
    user.holds(".emacs.d/init.el", "(setq a 1)\n")


CHANGED = {
    "neovim": ".local/share/nvim/site/pack/inkling/start/inkling/plugin/inkling.lua",
    "emacs": ".emacs.d/inkling/inkling.el",
    "helix": ".config/helix/languages.toml",
    "vim": ".vimrc",
    "vscode": None,
}


@pytest.mark.parametrize("editor", EDITORS)
def test_it_comes_once_and_goes_without_a_trace(user: User, editor: str) -> None:
    prepare(user)
    before = user.files()
    told = user.run(editor, "--print")
    assert user.files() == before
    assert user.run(editor).startswith(told.splitlines()[0])
    after = user.files()
    changed = CHANGED[editor]
    assert changed is None or after.get(changed) != before.get(changed)
    assert "nothing to change" in user.run(editor)
    assert user.files() == after
    user.run(editor, "--remove")
    assert user.files() == before
    assert "nothing to remove" in user.run(editor, "--remove")


def test_helix_keeps_the_servers_that_it_has(user: User) -> None:
    prepare(user)
    told = user.run("helix")
    assert "names the servers of rust" in told
    path = user.home / ".config" / "helix" / "languages.toml"
    written = tomllib.loads(path.read_text("utf-8"))
    servers = {one["name"]: one.get("language-servers") for one in written["language"]}
    assert servers["python"] == ["pylsp", "inkling"]
    assert servers["rust"] is None
    assert written["language-server"]["inkling"]["args"] == ["lsp"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[language]\n", "no valid TOML"),
        ('[language-server.inkling]\ncommand = "mine"\n', "named inkling already"),
    ],
)
def test_helix_is_not_changed_where_that_would_break_it(user: User, text: str, says: str) -> None:
    prepare(user)
    path = user.holds(".config/helix/languages.toml", text)
    assert says in user.run("helix", fails=True)
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize(
    ("exists", "written"),
    [
        ((), ".emacs.d/init.el"),
        ((".emacs",), ".emacs"),
        ((".config/emacs/early-init.el",), ".config/emacs/init.el"),
        ((".config/emacs/early-init.el", ".emacs.d/a.el"), ".emacs.d/init.el"),
    ],
)
def test_emacs_begins_with_the_file_that_it_reads(
    user: User, exists: tuple[str, ...], written: str
) -> None:
    for place in exists:
        user.holds(place, "")
    user.run("emacs")
    assert "inkling-global-mode" in user.files()[written]


@pytest.mark.parametrize(
    ("editor", "says"), [("vscode", "Install from VSIX"), ("helix", "no `hx`")]
)
def test_an_editor_that_is_not_there_is_said_to_be(user: User, editor: str, says: str) -> None:
    assert says in user.run(editor, fails=True)


def test_the_editors_of_a_machine_are_listed(user: User) -> None:
    prepare(user)
    told = user.run()
    assert "VS Code" in told
    assert "inkling setup EDITOR" in told


def test_a_program_that_is_only_in_an_environment_is_linked_to(user: User) -> None:
    user.run("neovim")
    link = user.home / ".local" / "bin" / "inkling"
    assert link.readlink() == Path(sys.executable).with_name("inkling")
    link.unlink()
    link.write_text("mine")
    assert "link" not in user.run("neovim")
    user.run("neovim", "--remove")
    assert link.read_text() == "mine"


def test_the_extension_is_the_one_that_is_installed() -> None:
    manifest = json.loads((ROOT / "editors" / "vscode" / "package.json").read_text("utf-8"))
    assert f"{manifest['publisher']}.{manifest['name']}" == "inkling.inkling"
