"""A client that sends exactly the bytes a test gives it, and collects what comes back."""

import contextlib
import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from lsp_server.framing import FrameParser, frame

PATIENCE_SECONDS = 30.0
"""How long a test waits for what must come: so long that the machine's load cannot matter."""

PIECE_BYTES = 1 << 16

ROOT = Path(__file__).parents[2]
SCRIPTED_SERVER = (sys.executable, "-m", "tests.support.scripted_server")
LOG = "window/logMessage"
INKLING_LSP = (sys.executable, "-m", "inkling", "lsp")


class RawClient:
    """`parse` cuts what the server writes into bodies."""

    def __init__(
        self,
        command: Sequence[str] = SCRIPTED_SERVER,
        env: dict[str, str] | None = None,
        parse: Callable[[bytes], Iterable[Any]] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=env,
            bufsize=0,
        )
        self.stderr = b""
        self.answered_at: dict[Any, float] = {}
        self._parse = parse or FrameParser().feed
        self.others: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self._ids = itertools.count(1)
        self._arrived: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._may_read = threading.Event()
        self._may_read.set()
        self._responses: dict[Any, list[dict[str, Any]]] = {}
        self._threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read_messages, self._read_stderr)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.finish()

    def finish(self) -> int:
        """Wait for the server to leave; return its exit code. Everything it wrote is then here."""
        code = self.process.wait(PATIENCE_SECONDS)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        return code

    @contextlib.contextmanager
    def not_reading(self) -> Generator[None]:
        """Leave what the server writes where it is, but for a piece that is being waited for."""
        self._may_read.clear()
        try:
            yield
        finally:
            self._may_read.set()

    def send_bytes(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def send(self, message: object) -> None:
        self.send_bytes(frame(json.dumps(message).encode()))

    def notify(self, method: str, params: object = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def post(self, method: str, params: object = None) -> int:
        """Send a request; return its id."""
        request_id = next(self._ids)
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return request_id

    def response(self, request_id: object) -> dict[str, Any]:
        """Wait for the response of one request; other messages are kept."""
        while not self._responses.get(request_id):
            self._take()
        return self._responses[request_id].pop(0)

    def has_response(self, request_id: object) -> bool:
        """Return whether the response of one request has been read, without waiting for it."""
        while not self._arrived.empty():
            self._take()
        return bool(self._responses.get(request_id))

    def unclaimed(self) -> list[object]:
        """Return the ids of the responses that nobody has asked for, once the server has left."""
        while (message := self._arrived.get(timeout=PATIENCE_SECONDS)) is not None:
            if "method" not in message:
                self._responses.setdefault(message["id"], []).append(message)
        return [request_id for request_id, responses in self._responses.items() if responses]

    def result(self, method: str, params: object = None) -> Any:
        return self.response(self.post(method, params))["result"]

    def error(self, method: str, params: object = None) -> int:
        return self.response(self.post(method, params))["error"]["code"]

    def notification(self, method: str) -> dict[str, Any]:
        """Wait for a notification from the server."""
        while True:
            for message in self.others:
                if message["method"] == method:
                    self.others.remove(message)
                    return message["params"]
            self._take()

    def initialize(self, **params: object) -> dict[str, Any]:
        result = self.result(
            "initialize", {"processId": None, "rootUri": None, "capabilities": {}, **params}
        )
        self.notify("initialized", {})
        return result

    def open(self, text: str, uri: str = "file:///workspace/a.py") -> None:
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def leave(self) -> int:
        """Shut down as a good client does; return the exit code."""
        self.result("shutdown")
        self.notify("exit")
        return self.finish()

    def _take(self) -> None:
        try:
            message = self._arrived.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            message = None
        assert message is not None, f"the server said nothing more; stderr: {self.stderr[-2000:]}"
        if "method" in message:
            heap = self.logged if message.get("method") == LOG else self.others
            heap.append(message)
        else:
            self._responses.setdefault(message["id"], []).append(message)

    def _read_messages(self) -> None:
        while self._may_read.wait() and (data := self.process.stdout.read(PIECE_BYTES)):
            for body in self._parse(data):
                message = json.loads(body)
                if "method" not in message:
                    self.answered_at[message["id"]] = time.perf_counter()
                self._arrived.put(message)
        self._arrived.put(None)

    def _read_stderr(self) -> None:
        while data := self.process.stderr.read(PIECE_BYTES):
            self.stderr += data


def inline_params(line: int, character: int, uri: str = "file:///workspace/a.py") -> dict[str, Any]:
    """Ask as a user does, so that no policy has a say in whether there is an answer."""
    return {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1},
    }
