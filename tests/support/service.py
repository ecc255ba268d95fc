"""The team's service in this process: its application, asked as over HTTP, without a socket."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx2

from team.app import create_app
from team.metrics import Metrics
from team.settings import ServiceSettings
from tests.support.scripted_engine import ScriptedEngine

ADDRESS = "http://127.0.0.1:8012"


class Service:
    def __init__(
        self, engine: ScriptedEngine | None = None, settings: ServiceSettings | None = None
    ) -> None:
        self.engine = engine or ScriptedEngine()
        self.metrics = Metrics()
        self.app = create_app(self.engine, settings or ServiceSettings(), self.metrics)
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url=ADDRESS)

    async def post(
        self, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        return await self.client.post(path, json=body, headers=headers)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        return await self.client.get(path, headers=headers)

    async def fill(self, **fields: object) -> Any:
        """Return what a good request to the OpenAI route is answered."""
        response = await self.post("/v1/completions", {"prompt": "x = ", **fields})
        assert response.status_code == 200, response.text
        return response.json()

    def value(self, name: str, **labels: str) -> float | None:
        """Return what is counted under a name; None where nothing is."""
        return self.metrics.registry.get_sample_value(name, labels)


class Leaver:
    """A client that sends a request whole and closes its connection when it is told to."""

    def __init__(self, path: str, body: object) -> None:
        self._body = json.dumps(body).encode()
        self._has_sent = False
        self.leaves = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"127.0.0.1:8012"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(self._body)).encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8012),
        }

    async def receive(self) -> dict[str, Any]:
        if not self._has_sent:
            self._has_sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def events_of(text: str) -> list[str]:
    """Return the data of server-sent events, in order."""
    return [event.removeprefix("data: ") for event in text.split("\n\n") if event]
