"""What is written from the tree of settings is fresh, and understands what the server does."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lsp_server.manual import main, manual, schema, sentences
from lsp_server.settings import SETTINGS, Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXTENSION = ROOT / "editors" / "vscode"


def test_the_manual_of_settings_is_fresh() -> None:
    done = CliRunner().invoke(main, ["--markdown"])
    assert (done.exit_code, done.output) == (0, manual())
    assert (DOCS / "settings.md").read_text("utf-8") == manual()


def test_the_extension_for_vs_code_is_fresh(tmp_path: Path) -> None:
    names = ("package.json", "package.nls.json")
    for name in names:
        shutil.copy(EXTENSION / name, tmp_path)
    assert CliRunner().invoke(main, ["--extension", str(tmp_path)]).exit_code == 0
    for name in names:
        assert (tmp_path / name).read_text("utf-8") == (EXTENSION / name).read_text("utf-8")


def test_one_of_the_two_must_be_asked_for() -> None:
    assert CliRunner().invoke(main, []).exit_code == 2


@pytest.mark.parametrize("name", list(SETTINGS))
def test_the_schema_knows_every_setting(name: str) -> None:
    known = json.loads(json.dumps(schema()))["properties"][f"inkling.{name}"]
    assert known["default"] == getattr(Settings(), SETTINGS[name].name)
    assert known["type"] in {"boolean", "integer", "string", "object"}
    assert known["scope"] == ("application" if name == "statistics" else "window")
    assert sentences()[known["markdownDescription"].strip("%")].endswith(".")


def test_the_manual_of_the_server_leads_to_the_settings() -> None:
    assert "(settings.md)" in (DOCS / "server.md").read_text("utf-8")
