"""How the server leaves: with the right exit code, and never later than its editor."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lsp_server.framing import frame
from tests.support.raw_client import (
    INKLING_LSP,
    PATIENCE_SECONDS,
    ROOT,
    SCRIPTED_SERVER,
    RawClient,
    inline_params,
)

OPEN = {"uri": "file:///workspace/a.py", "languageId": "python", "version": 1, "text": "x = "}

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_exit_after_shutdown_is_a_success() -> None:
    with RawClient() as client:
        client.initialize()
        assert client.leave() == 0


def test_the_end_of_the_input_after_shutdown_is_a_success() -> None:
    with RawClient() as client:
        client.initialize()
        client.result("shutdown")
        client.process.stdin.close()
        assert client.finish() == 0


def test_exit_without_shutdown_is_a_failure() -> None:
    with RawClient() as client:
        client.initialize()
        client.notify("exit")
        assert client.finish() == 1


def test_exit_before_initialize_is_a_failure() -> None:
    with RawClient() as client:
        client.notify("exit")
        assert client.finish() == 1


def test_the_end_of_the_input_while_a_request_runs_ends_the_server() -> None:
    with RawClient() as client:
        client.initialize()
        client.open("x = ")
        client.result("scripted/play", {"is_held": True})
        client.post("textDocument/inlineCompletion", inline_params(0, 4))
        client.process.stdin.close()
        assert client.finish() == 1


def test_a_client_that_does_not_read_cannot_keep_the_server() -> None:
    """Its pipe is full, so nothing more can be said; the end of the input is the end."""
    with subprocess.Popen(
        SCRIPTED_SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as server:
        assert server.stdin is not None
        messages = [
            ("initialize", {"processId": None, "rootUri": None, "capabilities": {}}),
            ("textDocument/didOpen", {"textDocument": OPEN}),
            ("scripted/play", {"text": "x" * 1_000_000}),
            *[("textDocument/inlineCompletion", inline_params(0, 4))] * 30,
        ]
        for request_id, (method, params) in enumerate(messages):
            message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
            if method.endswith("didOpen"):
                del message["id"]
            server.stdin.write(frame(json.dumps(message).encode()))
        server.stdin.close()
        assert server.wait(PATIENCE_SECONDS) == 1


def test_a_terminated_server_leaves() -> None:
    with RawClient() as client:
        client.initialize()
        client.process.send_signal(signal.SIGTERM)
        assert client.finish() == 1


@pytest.mark.parametrize("says_it_by", ["initialize", "option"])
def test_the_server_leaves_with_its_editor_although_its_input_stays_open(says_it_by: str) -> None:
    """Another process keeps the pipe open, as a terminal multiplexer or a lost child may."""
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    command = (*SCRIPTED_SERVER,) if says_it_by == "initialize" else (
        *INKLING_LSP, "--stdio", f"--clientProcessId={editor.pid}"
    )  # fmt: skip
    with RawClient(command) as client:
        client.initialize(processId=editor.pid if says_it_by == "initialize" else None)
        assert client.process.poll() is None
        editor.kill()
        editor.communicate()
        assert client.finish() == 1


def test_the_server_leaves_with_its_parent_where_no_client_says_who_it_is() -> None:
    """A third process, this one, holds both pipes open; the parent is killed and tells nobody."""
    program = (
        "import subprocess, sys\n"
        "server = subprocess.Popen(sys.argv[1:])\n"
        "print(server.pid, file=sys.stderr, flush=True)\n"
        "server.wait()\n"
    )
    with RawClient((sys.executable, "-c", program, *SCRIPTED_SERVER)) as parent:
        parent.initialize()
        while not parent.stderr.endswith(b"\n"):
            time.sleep(0.01)
        server = psutil.Process(int(parent.stderr.split()[0]))
        parent.process.kill()
        assert server.wait(PATIENCE_SECONDS) is None
        assert not server.is_running()


def test_a_process_id_of_another_container_does_not_end_the_server() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with RawClient() as client:
        client.initialize(processId=gone.pid)
        client.open("x = ")
        assert client.result("textDocument/inlineCompletion", inline_params(0, 4))["items"]
        assert client.leave() == 0


def test_a_child_of_the_server_does_not_hold_the_pipes_of_its_client() -> None:
    """The engine's process must not keep an editor waiting for the end of the output."""
    program = (
        "import os, subprocess, sys\n"
        "from lsp_server.transport import take_standard_streams\n"
        "read_fd, write_fd = take_standard_streams()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "os.write(write_fd, b'%d' % child.pid)\n"
    )
    ours = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    output, _ = ours.communicate(timeout=PATIENCE_SECONDS)
    child = psutil.Process(int(output))
    assert child.is_running()
    child.kill()


def test_what_a_library_prints_does_not_reach_the_client() -> None:
    program = (
        "import os\n"
        "from lsp_server.transport import take_standard_streams\n"
        "_, write_fd = take_standard_streams()\n"
        "print('printed', flush=True)\n"
        "os.write(1, b'written natively')\n"
        "os.write(write_fd, b'frame')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=b"",
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=dict(os.environ),
        timeout=PATIENCE_SECONDS,
    )
    assert result.stdout == b"frame"
    assert result.stderr == b"printed\nwritten natively"
