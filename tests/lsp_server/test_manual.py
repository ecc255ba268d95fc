"""What is written from the tree of settings is fresh, and understands what the server does."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lsp_server.manual import main, markdown, schema
from lsp_server.settings import SETTINGS, Settings

DOCS = Path(__file__).parents[2] / "docs"


def check(option: str, *, writes: str) -> None:
    done = CliRunner().invoke(main, [option])
    assert (done.exit_code, done.output) == (0, writes)


def test_the_manual_of_settings_is_fresh() -> None:
    assert (DOCS / "settings.md").read_text("utf-8") == markdown()
    check("--markdown", writes=markdown())


def test_the_schema_is_json() -> None:
    check("--schema", writes=json.dumps(schema(), indent=2))


def test_one_of_the_two_must_be_asked_for() -> None:
    assert CliRunner().invoke(main, []).exit_code == 2


@pytest.mark.parametrize("name", list(SETTINGS))
def test_the_schema_knows_every_setting(name: str) -> None:
    known = json.loads(json.dumps(schema()))["properties"][f"inkling.{name}"]
    assert known["default"] == getattr(Settings(), SETTINGS[name].name)
    assert known["type"] in {"boolean", "integer", "string", "object"}
    assert known["scope"] == ("application" if name == "statistics" else "window")
    assert known["markdownDescription"].endswith(".")


def test_the_manual_of_the_server_leads_to_the_settings() -> None:
    assert "(settings.md)" in (DOCS / "server.md").read_text("utf-8")
