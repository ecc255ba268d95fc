"""A language server that answers what a test wrote down, and writes down what it is told.

Run: python -m tests.editors.answering_server FOLDER [what `inkling lsp` is started with]

FOLDER/answers.json: `items` for each inline completion, `delay` in seconds before it, `encoding`
of positions, `statuses` to send once it is initialized. FOLDER/heard.jsonl: all that came.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

from lsp_server.framing import FrameParser, frame


class AnsweringServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._cancelled: set[object] = set()

    def hear(self, message: dict[str, Any]) -> None:
        with (self._folder / "heard.jsonl").open("a") as heard:
            heard.write(json.dumps(message) + "\n")
        answers = json.loads((self._folder / "answers.json").read_text())
        method, request_id = message.get("method"), message.get("id")
        if method == "initialize":
            self._reply(request_id, self._capabilities(answers))
        elif method == "initialized":
            for status in answers.get("statuses", []):
                self._send({"method": "inkling/status", "params": status})
        elif method == "textDocument/inlineCompletion":
            arguments = (request_id, {"items": answers.get("items", [])})
            threading.Timer(answers.get("delay", 0), self._reply, arguments).start()
        elif method == "$/cancelRequest":
            self._cancel(message["params"]["id"])
        elif method == "exit":
            sys.exit(0)
        elif method is not None and request_id is not None:
            self._reply(request_id, answers.get(method))

    def _capabilities(self, answers: dict[str, Any]) -> dict[str, Any]:
        capabilities = {
            "textDocumentSync": {"openClose": True, "change": 2},
            "inlineCompletionProvider": {},
            "executeCommandProvider": {"commands": ["inkling.status", "inkling.accepted"]},
        }
        if "encoding" in answers:
            capabilities["positionEncoding"] = answers["encoding"]
        return {"capabilities": capabilities}

    def _cancel(self, request_id: object) -> None:
        self._send({"id": request_id, "error": {"code": -32800, "message": "cancelled"}})
        self._cancelled.add(request_id)

    def _reply(self, request_id: object, result: object) -> None:
        if request_id not in self._cancelled:
            self._send({"id": request_id, "result": result})

    def _send(self, message: dict[str, Any]) -> None:
        with self._lock:
            sys.stdout.buffer.write(frame(json.dumps({"jsonrpc": "2.0", **message}).encode()))
            sys.stdout.buffer.flush()


def main() -> None:
    server, parser = AnsweringServer(Path(sys.argv[1])), FrameParser()
    while data := sys.stdin.buffer.read1():
        for body in parser.feed(data):
            server.hear(json.loads(body))


if __name__ == "__main__":
    main()
