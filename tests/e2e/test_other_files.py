"""`inkling lsp` with the model that ships: what another file of the workspace says is suggested."""

import os
from pathlib import Path
from time import monotonic

import pytest

from tests.support.raw_client import INKLING_LSP, PATIENCE_SECONDS, RawClient, inline_params

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

INLINE = "textDocument/inlineCompletion"
CALL = "measure_quadrangle(corner, heading, magnitude)"
TYPED = "def go(corner, heading, magnitude):\n    result = measure_quad"


def check(folder: Path, settings: dict[str, object], *, suggests: bool) -> None:
    """Ask in new documents until the call is suggested, or for a second if it is not to be."""
    (folder / "shapes.py").write_text(f"first = {CALL}\nresult = {CALL}\n")
    env = {**os.environ, "XDG_DATA_HOME": str(folder / "no models")}
    with RawClient(INKLING_LSP, env) as client:
        client.initialize(rootUri=folder.as_uri(), initializationOptions=settings)
        until = monotonic() + (PATIENCE_SECONDS if suggests else 3.0)
        number, found = 0, False
        while not found and monotonic() < until:
            number += 1
            uri = (folder / f"use{number}.py").as_uri()
            client.open(TYPED, uri)
            column = len(TYPED.rpartition("\n")[2])
            items = client.result(INLINE, inline_params(1, column, uri))["items"]
            found = any(
                item["insertText"].startswith(CALL[len("measure_quad") :]) for item in items
            )
    assert found == suggests


def test_what_stands_in_the_workspace_is_suggested(tmp_path: Path) -> None:
    check(tmp_path, {}, suggests=True)


def test_who_wants_none_gets_none(tmp_path: Path) -> None:
    check(tmp_path, {"otherTexts": "none"}, suggests=False)
