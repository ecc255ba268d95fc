"""After a whole session not one word of its documents stands in a log, the journal or on stderr."""

import os
import time
from pathlib import Path

import pytest

from lsp_server.insight.journal import read_journal
from tests.support.raw_client import INKLING_LSP, SCRIPTED_SERVER, RawClient, inline_params

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CANARY = "canary_5c7e"
URI = f"file:///users/{CANARY}/{CANARY}.py"
FORGED = "no/such\n2001-01-01 00:00:00,000 ERROR here: forged"


def wait_for_the_model(client: RawClient) -> None:
    """Wait until the server says which model completes."""
    while not client.logged:
        client.result("workspace/executeCommand", {"command": "inkling.explainLast"})
        time.sleep(0.05)


def drive(client: RawClient, *, has_model: bool) -> None:
    """Open, ask, accept, type, and send what makes no sense, with the canary everywhere."""
    client.initialize(initializationOptions={"maxTokens": CANARY, CANARY: CANARY})
    if has_model:
        wait_for_the_model(client)
    client.open(f"{CANARY} = 1\nprint(", URI)
    answer = client.response(client.post("textDocument/inlineCompletion", inline_params(1, 6, URI)))
    for item in answer["result"]["items"]:
        client.result("workspace/executeCommand", item["command"])
    place = {"line": 1, "character": 6}
    change = {"range": {"start": place, "end": place}, "text": CANARY}
    document = {"uri": URI, "version": 2}
    client.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})
    client.notify("textDocument/didChange", {"textDocument": CANARY, "contentChanges": FORGED})
    client.notify(FORGED, {"text": CANARY})
    client.post(FORGED, {"text": CANARY})
    client.error("workspace/executeCommand", {"command": FORGED, "arguments": [CANARY]})
    client.result("workspace/executeCommand", {"command": "inkling.explainLast"})
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert client.leave() == 0


@pytest.mark.parametrize("command", [SCRIPTED_SERVER, INKLING_LSP], ids=["scripted", "real"])
def test_no_word_of_a_document_is_written_down(command: tuple[str, ...], tmp_path: Path) -> None:
    log, state = tmp_path / "inkling.log", tmp_path / "state"
    env = {**os.environ, "XDG_STATE_HOME": str(state)}
    options = ("--log-level", "debug", "--log-file", str(log))
    with RawClient((*command, *options), env) as client:
        drive(client, has_model=command is INKLING_LSP)
    assert len(list(read_journal(state / "inkling"))) >= 1
    assert log.stat().st_size > 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    texts = [*(path.read_text("utf-8") for path in files), client.stderr.decode()]
    assert [text.count(CANARY) for text in texts] == [0, 0, 0]
    assert not any(line.startswith("2001") for text in texts for line in text.splitlines())
