"""A Hugging Face hub on this machine: the few requests that a download makes, over HTTP.

It can hang up in the middle of a file, and remembers which bytes it was asked for.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMITS = {"main": "1" * 40, "1" * 40: "1" * 40, "older": "2" * 40, "2" * 40: "2" * 40}
REPOSITORY = "owner/model"


@dataclass
class FakeHub:
    """`files` are those of each commit; once, after `hang_up_after` bytes, the connection ends."""

    files: Mapping[str, Mapping[str, bytes]]
    hang_up_after: int | None = None
    endpoint: str = ""
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, first byte and number of bytes of each body."""

    user_agents: set[str] = field(default_factory=set)

    def names_sent(self) -> set[str]:
        return {name for name, _, _ in self.sent}


@contextlib.contextmanager
def serving(hub: FakeHub) -> Generator[FakeHub]:
    """Serve until the block ends; `hub.endpoint` says where."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_PARTS = REPOSITORY.split("/")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Print nothing."""

    def _answer(self, *, with_body: bool) -> None:
        self.hub.user_agents.add(self.headers["User-Agent"])
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        match parts:
            case ["api", "models", *owner_and_name, "revision", revision]:
                self._tell(owner_and_name, revision)
            case ["api", "models", *owner_and_name, "tree", revision]:
                self._tree(owner_and_name, revision)
            case [owner, name, "resolve", revision, file] if [owner, name] == _PARTS:
                self._file(revision, file, with_body=with_body)
            case _:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _tell(self, owner_and_name: list[str], revision: str) -> None:
        if owner_and_name != _PARTS:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in COMMITS:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            commit = COMMITS[revision]
            names = [{"rfilename": name} for name in self.hub.files[commit]]
            told = {"id": REPOSITORY, "sha": commit, "siblings": names}
            self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _tree(self, owner_and_name: list[str], revision: str) -> None:
        files = self.hub.files[COMMITS[revision]]
        told = [
            {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
            for name, content in files.items()
        ]
        self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _file(self, revision: str, name: str, *, with_body: bool) -> None:
        commit = COMMITS[revision]
        content = self.hub.files[commit].get(name)
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        first = int(self.headers.get("Range", "bytes=0-").split("=")[1].partition("-")[0])
        headers = {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": commit}
        headers["Accept-Ranges"] = "bytes"
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        if not with_body:
            self._send(200, body, headers, with_body=False)
            return
        self.hub.sent.append((name, first, len(body)))
        self._send(206 if first else 200, body, headers)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str],
        *,
        with_body: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body or self.command == "HEAD":
            return
        limit = self.hub.hang_up_after
        if limit is not None and len(body) > limit:
            self.hub.hang_up_after = None
            self.wfile.write(body[:limit])
            self.close_connection = True
            return
        self.wfile.write(body)
