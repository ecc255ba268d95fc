"""The extension as it is written and packaged: no editor runs."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from tests.editors.npm import run_script
from tests.editors.vscode.fetch import EXTENSION

pytestmark = [pytest.mark.editor, pytest.mark.slow]

LANGUAGES = ("de", "es", "fr", "hi", "ja")
MAX_BYTES = 500_000
PACKAGE = json.loads((EXTENSION / "package.json").read_text("utf-8"))
SOURCES = "\n".join(path.read_text("utf-8") for path in sorted((EXTENSION / "src").glob("*.ts")))


def texts(name: str) -> dict[str, str]:
    return json.loads((EXTENSION / name).read_text("utf-8"))


def placeholders(text: str) -> list[str]:
    """Return what a translation must repeat: arguments, commands and names in code."""
    return sorted(re.findall(r"\{\d\}|\(command:[\w.]+\)|`[^`]+`", text))


@pytest.mark.parametrize("script", ["check", "test"])
def test_types_style_and_parts(extension: Path, script: str) -> None:
    run_script(extension, script)


def test_the_package_is_small_and_holds_what_it_names(extension: Path) -> None:
    package = extension / "dist" / "inkling.vsix"
    assert package.stat().st_size < MAX_BYTES
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())
    pictures = re.findall(r'"(media/[\w.-]+)"', json.dumps(PACKAGE))
    pictures += re.findall(r"\((media/[\w.-]+)\)", (EXTENSION / "README.md").read_text("utf-8"))
    wanted = [PACKAGE["main"].removeprefix("./"), *pictures]
    wanted += [f"package.nls.{language}.json" for language in LANGUAGES]
    wanted += [f"l10n/bundle.l10n.{language}.json" for language in LANGUAGES]
    assert {f"extension/{name}" for name in wanted} <= names
    assert not any("node_modules" in name or name.endswith(".ts") for name in names)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_manifest_speaks_each_language(language: str) -> None:
    english, translated = texts("package.nls.json"), texts(f"package.nls.{language}.json")
    assert list(translated) == list(english)
    for key, text in english.items():
        assert translated[key].strip()
        assert placeholders(translated[key]) == placeholders(text), key


def test_the_manifest_uses_every_sentence_and_no_other() -> None:
    assert set(re.findall(r'"%([\w.]+)%"', json.dumps(PACKAGE))) == set(texts("package.nls.json"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_messages_speak_each_language(language: str) -> None:
    calls = re.findall(r"""\bt\(\s*(?:"([^"\\]+)"|'([^'\\]+)')""", SOURCES)
    english = {one or other for one, other in calls}
    assert len(english) > 30
    assert len(calls) == len(re.findall(r"\bt\(", SOURCES))
    translated = texts(f"l10n/bundle.l10n.{language}.json")
    assert set(translated) == english
    assert all(placeholders(translated[text]) == placeholders(text) for text in english)


def test_every_command_is_one_that_is_registered_or_the_servers() -> None:
    from lsp_server.features.commands import COMMANDS

    registered = set(re.findall(r'^\s+"(inkling\.\w+)": \(\) =>', SOURCES, re.MULTILINE))
    registered -= {"inkling.toggleLanguage"}  # what the server's command takes
    listed = {one["command"] for one in PACKAGE["contributes"]["commands"]}
    assert listed <= registered | set(COMMANDS)
    assert registered <= listed


def test_no_workspace_names_what_runs() -> None:
    client, *_ = PACKAGE["contributes"]["configuration"]
    assert {one["scope"] for one in client["properties"].values()} == {"machine"}
    untrusted = PACKAGE["capabilities"]["untrustedWorkspaces"]
    assert untrusted["supported"] == "limited"
    assert set(untrusted["restrictedConfigurations"]) == set(client["properties"])
