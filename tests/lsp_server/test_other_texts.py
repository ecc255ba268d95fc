"""The engine knows the user's other texts, as they are now and as far as it is wanted."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from lsp_server import other_texts
from lsp_server.convert import name_of
from lsp_server.features.configuration import configure
from lsp_server.sources import Source
from tests.support.scripted_engine import ScriptedEngine
from tests.support.sessions import Session

PATIENCE_SECONDS = 10.0


class Workspace:
    """A session in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = Session(ScriptedEngine())
        self.session.initialize(workspaceFolders=[{"uri": folder.as_uri(), "name": "a"}])
        self._version = 0

    def open(self, name: str, text: str) -> None:
        item = {"uri": self._uri(name), "languageId": "python", "version": 0, "text": text}
        self.session.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, name: str, text: str) -> None:
        self._version += 1
        document = {"uri": self._uri(name), "version": self._version}
        params = {"textDocument": document, "contentChanges": [{"text": text}]}
        self.session.notify("textDocument/didChange", params)

    def close(self, name: str) -> None:
        self.session.notify("textDocument/didClose", {"textDocument": {"uri": self._uri(name)}})

    def survey(self) -> None:
        self.session.server.survey()

    def _uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def set(self, value: str) -> None:
        configure(self.session.server, Source.CONFIGURATION, {"otherTexts": value})

    def known(self) -> dict[str, str]:
        """Return what the engine remembers, by the files' names."""
        texts = self.session.engine.log.remembered
        return {name.rsplit("/")[-1]: text for name, text in texts.items() if text is not None}

    async def wait(self, **known: str) -> None:
        """Return once the engine remembers this, by the names without their endings."""
        wanted = {f"{name}.py": text for name, text in known.items()}
        until = monotonic() + PATIENCE_SECONDS
        while self.known() != wanted:
            assert monotonic() < until
            await asyncio.sleep(0.01)


@pytest.fixture
async def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(other_texts, "QUIET_SECONDS", 0.01)
    return Workspace(tmp_path)


async def test_files_of_the_workspace_are_known(workspace: Workspace) -> None:
    workspace.write("a.py", "a = 1\n")
    workspace.survey()
    await workspace.wait(a="a = 1\n")


async def test_an_open_document_is_known_as_it_is_now(workspace: Workspace) -> None:
    workspace.write("a.py", "a = 1\n")
    workspace.open("a.py", "a = 2\n")
    await workspace.wait(a="a = 2\n")
    workspace.survey()
    workspace.change("a.py", "a = 3\n")
    await workspace.wait(a="a = 3\n")
    workspace.change("a.py", 'token = "abcdefgh12345678"\n')
    workspace.close("a.py")  # before it was told
    await workspace.wait(a='token = "****************"\n')


async def test_half_a_surrogate_pair_keeps_nothing_from_the_engine(workspace: Workspace) -> None:
    workspace.open("a.py", "a = '\ud800'\n")
    await workspace.wait(a="a = '\ufffd'\n")


async def test_who_wants_none_has_none(workspace: Workspace) -> None:
    workspace.write("a.py", "a = 1\n")
    workspace.survey()
    await workspace.wait(a="a = 1\n")
    workspace.set("none")
    assert workspace.known() == {}
    workspace.open("b.py", "b = 1\n")
    await asyncio.sleep(0.05)
    assert workspace.known() == {}
    workspace.set("open")
    await workspace.wait(b="b = 1\n")


async def test_who_follows_open_documents_alone_has_the_workspace_forgotten(
    workspace: Workspace,
) -> None:
    workspace.write("a.py", "a = 1\n")
    workspace.open("b.py", "b = 1\n")
    workspace.survey()
    await workspace.wait(a="a = 1\n", b="b = 1\n")
    workspace.set("open")
    await workspace.wait(b="b = 1\n")


@pytest.mark.parametrize("name", ["secrets.env", "left.py"])
async def test_what_is_left_alone_is_not_known(workspace: Workspace, name: str) -> None:
    workspace.write(".inklingignore", "left.py\n")
    workspace.open(name, "a = 1\n")
    await asyncio.sleep(0.1)
    assert workspace.known() == {}


async def test_there_is_an_end_to_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_texts, "MAX_CHARACTERS", 8)
    workspace.write("a.py", "a = 1\n")
    workspace.write("b.py", "x" * 100)
    workspace.survey()
    await workspace.wait(a="a = 1\n")


def test_all_spellings_of_an_address_are_one_name() -> None:
    assert name_of("file:///C:/a.py") == name_of("file:///c%3A/a.py")
