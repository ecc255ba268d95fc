"""What the server touches and tells: no file of the user's, no socket, no word of a document."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server.framing import frame
from tests.support.raw_client import INKLING_LSP, ROOT, SCRIPTED_SERVER, RawClient, inline_params

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

INLINE = "textDocument/inlineCompletion"
CANARY = "canary_7d1f"

AUDITED = """
import os, sys

record = os.environ["INKLING_TEST_AUDIT"]

def audit(event, arguments):
    if (event == "open" and arguments[0] != record) or event.startswith("socket."):
        descriptor = os.open(record, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{event} {ascii(arguments[0])}\\n".encode())
        os.close(descriptor)

sys.addaudithook(audit)
from tests.support.scripted_server import main
main()
"""


def test_no_log_and_no_error_holds_a_word_of_a_document() -> None:
    with RawClient((*SCRIPTED_SERVER, "--log-level", "debug")) as client:
        client.initialize(initializationOptions={"maxTokens": CANARY})
        client.open(CANARY)
        answers = list[object]()
        for script in ({}, {"raises": "bug"}, {"raises": "user"}):
            client.result("scripted/play", script)
            answers.append(client.response(client.post(INLINE, inline_params(0, 99))).get("error"))
        for params in ({"text": CANARY}, [CANARY], CANARY, {"textDocument": CANARY}):
            client.notify("textDocument/didChange", params)
            answers.append(client.response(client.post(INLINE, params))["error"])
        client.send_bytes(frame(json.dumps(CANARY).encode()))
        client.send_bytes(frame(CANARY.encode()))
        answers += [client.response(None)["error"] for _ in range(2)]
        client.leave()
    assert b"ValueError" in client.stderr, "the log is kept and would show it"
    assert CANARY.encode() not in client.stderr
    assert CANARY not in json.dumps(answers)


def test_a_setting_that_makes_no_sense_is_shown_to_its_user() -> None:
    """The one place where a client's words come back: its own settings, in its own window."""
    with RawClient() as client:
        client.initialize(initializationOptions={"maxTokens": CANARY})
        assert CANARY in client.notification("window/showMessage")["message"]


def test_no_document_is_read_from_the_disk(tmp_path: Path) -> None:
    """A file that is not UTF-8 is open in the editor: only what the editor sends counts."""
    on_disk = tmp_path / "latin1.py"
    on_disk.write_bytes(b"name = '\xe9\xff'\n")
    audit = tmp_path / "audit.txt"
    audit.touch()
    env = {**os.environ, "INKLING_TEST_AUDIT": str(audit)}
    with RawClient((sys.executable, "-c", AUDITED), env) as client:
        options = {"otherTexts": "open"}
        client.initialize(rootUri=tmp_path.as_uri(), initializationOptions=options)
        assert client.result(INLINE, inline_params(0, 4, on_disk.as_uri())) == {"items": []}
        client.open("name = 'from the editor'", on_disk.as_uri())
        client.result(INLINE, inline_params(0, 99, on_disk.as_uri()))
        (request,) = client.result("scripted/log", {})["requests"]
        assert client.leave() == 0
    assert (request["prefix"], request["suffix"]) == ("name = 'from the editor'", "")
    events = audit.read_text("utf-8")
    assert "lsprotocol" in events, "the audit sees what is opened"
    assert on_disk.name not in events
    assert "socket.connect" not in events
    assert "socket.bind" not in events


def test_the_server_does_not_load_what_only_the_engine_needs() -> None:
    program = (
        "import sys\n"
        "from inference import EngineOptions, open_engine\n"
        "from lsp_server.cli import create_server\n"
        "create_server(open_engine(EngineOptions()))\n"
        "heavy = {'onnxruntime', 'tokenizers', 'numpy', 'onnx_ir', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT, text=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("where", ["option", "environment"])
def test_a_model_that_is_not_there_is_reported_once_and_the_server_goes_on(
    where: str, tmp_path: Path
) -> None:
    missing = str(tmp_path / "nowhere")
    command = (*INKLING_LSP, "--model", missing) if where == "option" else INKLING_LSP
    env = {**os.environ, "INKLING_MODEL": missing} if where == "environment" else None
    with RawClient(command, env) as client:
        client.initialize()
        message = client.notification("window/showMessage")
        assert message["type"] == 1
        assert "nowhere" in message["message"]
        client.open("x = ")
        for _ in range(3):
            assert client.result(INLINE, inline_params(0, 4)) == {"items": []}
        assert client.others == []
        assert client.leave() == 0


def test_a_workspace_cannot_choose_the_model() -> None:
    with RawClient() as client:
        client.initialize(initializationOptions={"model": "/elsewhere"})
        message = client.notification("window/showMessage")["message"]
        assert "inkling.model cannot be set from an editor's workspace" in message
        assert client.leave() == 0
