"""A server in this loop that plays each kind of endpoint, and all that can be wrong with one.

What kinds say and refuse is as seen with llama-server (xllamacpp 2026.10) and as their threads
tell: vLLM #9976 and others (400, "suffix is not currently supported"), LM Studio #618 (200 with an
error for a route that it does not know), Ollama #5207 ("does not support insert").
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, Literal

import msgspec

Kind = Literal["ours", "llama-server", "ollama", "ollama-raw", "vllm", "lmstudio", "openai", "tgi"]
Fault = Literal[
    "", "slow", "hang", "stall", "busy", "broken", "unauthorized", "redirect", "half-close",
    "garbage", "endless", "error", "dropped",
]  # fmt: skip

KINDS: tuple[Kind, ...] = (
    "ours", "llama-server", "ollama", "ollama-raw", "vllm", "lmstudio", "openai", "tgi",
)  # fmt: skip

_REFUSALS: dict[str, tuple[int, object]] = {
    "busy": (503, {}),
    "broken": (500, {}),
    "unauthorized": (401, {}),
    "redirect": (307, {}),
    "error": (200, {"error": "what was asked for is quoted here"}),
}
_OWNERS = {"ours": "inkling", "llama-server": "llamacpp", "vllm": "vllm"}


class Asked(msgspec.Struct, frozen=True):
    method: str
    route: str
    headers: dict[str, str]
    body: dict[str, Any]


class FakeEndpoint:
    """`fault` is what the next completions meet, with `slow_s` before each piece where it is slow.

    `pieces` is what is written, whatever is asked. Probes are not touched by faults unless
    `is_all_faulty`.
    """

    def __init__(self, kind: Kind = "openai", *, model: str = "a-model") -> None:
        self.kind: Kind = kind
        self.model = model
        self.fault: Fault = ""
        self.is_all_faulty = False
        self.slow_s = 0.0
        self.retry_after = ""
        self.token: str | None = None
        self.pieces = ["na", "me\n"]
        self.answer: Callable[[Asked], list[str]] = lambda _: self.pieces
        self.asked: list[Asked] = []
        self.num_connections = 0
        self.num_left = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, tls: ssl.SSLContext | None = None) -> "FakeEndpoint":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def completions(self) -> list[Asked]:
        """The requests that were no probes."""
        return [one for one in self.asked if one.body.get("stream") is True]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.num_connections += 1
        try:
            while (asked := await _read(reader)) is not None:
                self.asked.append(asked)
                if not await self._serve(asked, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.num_left += 1
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer; return whether the connection goes on."""
        is_completion = asked.body.get("stream") is True
        if self.token is not None and asked.headers.get("authorization") != f"Bearer {self.token}":
            return _whole(writer, 401, {"error": {"message": "no"}})
        if self.fault and (is_completion or self.is_all_faulty):
            return await self._misbehave(asked, reader, writer)
        code, said = self._say(asked)
        if not is_completion or code != 200 or "error" in said:
            return _whole(writer, code, said)
        await self._stream(asked, reader, writer)
        return True

    async def _stream(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        is_lines = self.kind.startswith("ollama")
        _head(writer, 200, "application/x-ndjson" if is_lines else "text/event-stream")
        pieces = self.answer(asked)
        for number, text in enumerate([*pieces, ""]):
            if self.fault in ("slow", "stall") and (number or self.fault == "slow"):
                await self._wait(reader)
            is_last = number == len(pieces)
            event = json.dumps(self._event(text, is_last=is_last))
            _chunk(writer, f"{event}\n" if is_lines else f"data: {event}\n\n")
            await writer.drain()
            await asyncio.sleep(0)
            if reader.at_eof():
                raise ConnectionResetError
        if not is_lines and self.kind != "llama-server":
            _chunk(writer, "data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        """Wait as long as is wanted, or until the client has left."""
        until = asyncio.get_running_loop().time() + self.slow_s
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.005)
            if reader.at_eof():
                raise ConnectionResetError

    async def _misbehave(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if self.fault in ("slow", "stall"):
            await self._stream(asked, reader, writer)
            return True
        if self.fault == "hang":
            await reader.read()
            raise ConnectionResetError
        if self.fault == "dropped":
            self.fault = ""
            return False
        if self.fault in _REFUSALS:
            more = {"Retry-After": self.retry_after} if self.retry_after else {"Location": "/there"}
            return _whole(writer, *_REFUSALS[self.fault], more)
        _head(writer, 200, "text/event-stream")
        half = json.dumps(self._event("half", is_last=False))
        said = {
            "half-close": f"data: {half}\n\n",
            "garbage": "data: <html>\n\ndata: {\n\n",
            "endless": ": " + "x" * 65_536 + "\n\n",
        }[self.fault]
        _chunk(writer, said)
        while self.fault == "endless" and not reader.at_eof():
            _chunk(writer, said)
            await writer.drain()
        return False

    def _say(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Return the status and what is said to whoever does not want a stream."""
        if asked.route == "/v1/models":
            owner = _OWNERS.get(self.kind, "library")
            more = {"inkling": {"model_bytes": 12345}} if self.kind == "ours" else {}
            return 200, {"data": [{"id": self.model, "owned_by": owner, **more}]}
        if asked.route.startswith("/api/") and self.kind.startswith("ollama"):
            return self._say_as_ollama(asked)
        if asked.route == "/infill" and self.kind in ("llama-server", "ours"):
            return 200, {"content": "x", "stop": True}
        if asked.route == "/v1/completions":
            return self._say_completion(asked.body)
        if self.kind == "lmstudio":
            return 200, {"error": f"Unexpected endpoint or method. ({asked.route})"}
        return 404, {"error": {"message": "not found"}}

    def _say_as_ollama(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        if asked.route == "/api/version":
            return 200, {"version": "0.13.1"}
        if asked.route == "/api/show":
            inserts = ["insert"] if self.kind == "ollama" else []
            return 200, {"capabilities": ["completion", *inserts]}
        if asked.body.get("suffix") and self.kind == "ollama-raw":
            return 400, {"error": "a-model does not support insert"}
        return 200, {"response": "x", "done": True}

    def _say_completion(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        has_suffix = "suffix" in body
        if self.kind == "vllm" and has_suffix:
            return 400, {"error": {"message": "suffix is not currently supported"}}
        num_read = 10 if has_suffix and self.kind == "openai" else 6
        usage = None if self.kind == "tgi" else {"prompt_tokens": num_read}
        return 200, {"choices": [{"text": "x", "finish_reason": "length"}], "usage": usage}

    def _event(self, text: str, *, is_last: bool) -> dict[str, Any]:
        if self.kind.startswith("ollama"):
            ends = {"done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 2}
            return {"response": text, **(ends if is_last else {"done": False})}
        if self.kind == "llama-server":
            counts = {"tokens_evaluated": 7, "tokens_predicted": 2}
            ends = {"stop_type": "eos"} if is_last else {}
            return {"content": text, "stop": is_last, **counts, **ends}
        choice = {"text": text, "index": 0, "finish_reason": "stop" if is_last else None}
        event: dict[str, Any] = {"choices": [choice]}
        if is_last:
            event["usage"] = {"prompt_tokens": 7, "completion_tokens": 2}
        if is_last and self.kind == "ours":
            event["inkling"] = {"finish_reason": "block", "log_probabilities": [-0.5, -0.25]}
        return event


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, route, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, route, headers, json.loads(content) if content else {})


def _head(writer: asyncio.StreamWriter, code: int, kind: str) -> None:
    lines = (f"HTTP/1.1 {code} x", f"Content-Type: {kind}", "Transfer-Encoding: chunked", "", "")
    writer.write("\r\n".join(lines).encode())


def _chunk(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _whole(
    writer: asyncio.StreamWriter, code: int, said: object, more: dict[str, str] | None = None
) -> bool:
    data = json.dumps(said).encode()
    headers = {"Content-Type": "application/json", "Content-Length": len(data), **(more or {})}
    lines = [f"HTTP/1.1 {code} x", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + data)
    return True
