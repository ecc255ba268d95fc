"""What strangers may send to the playground, and the status that each gets."""

import asyncio
import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lsp_server.playground import web
from tests.support.web_client import Opened, playground

ORIGIN = "http://HOST"
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
SOCKET = {**UPGRADE, "Origin": ORIGIN, "Sec_WebSocket_Protocol": "inkling, KEY"}
LSP = "/lsp?model=embedded"


async def check(expected: int | None, target: str, *, method="GET", body=b"", **headers: str):
    """The status of one request; HOST, PORT, TOKEN and KEY stand for what they are."""
    async with playground() as opened:
        known = {"PORT": str(opened.port), "HOST": opened.host, "TOKEN": opened.token}
        if any("KEY" in text for text in headers.values()):
            known["KEY"] = await opened.key()
        for name, text in known.items():
            headers = {key: value.replace(name, text) for key, value in headers.items()}
        assert await opened.status(target, method=method, body=body, **headers) == expected
        assert opened.engines == []


@pytest.mark.parametrize(
    ("status", "target", "headers"),
    [
        pytest.param(200, "/", {}, id="the page itself"),
        pytest.param(200, "/main.js", {"Sec_Fetch_Site": "same-origin"}, id="its script"),
        pytest.param(403, "/", {"Host": "evil.example"}, id="foreign host"),
        pytest.param(403, "/", {"Host": "evil.example:PORT"}, id="a name that leads here"),
        pytest.param(403, "/", {"Host": "HOST.evil.example"}, id="our host as a beginning"),
        pytest.param(403, "/", {"Host": "localhost:PORT"}, id="another name of this machine"),
        pytest.param(403, "/", {"Host": "127.0.0.1"}, id="host without the port"),
        pytest.param(403, "/", {"Host": ""}, id="no host"),
        pytest.param(403, "/", {"Host": "HOST\r\nHost: HOST"}, id="two hosts"),
        pytest.param(403, "/", {"Origin": "https://evil.example"}, id="foreign origin"),
        pytest.param(403, "/", {"Origin": "null"}, id="origin of a sandbox"),
        pytest.param(403, "/", {"Origin": "https://HOST"}, id="our origin, another scheme"),
        pytest.param(
            403, "/main.js", {"Sec_Fetch_Site": "cross-site"}, id="script of another page"
        ),
        pytest.param(403, "/main.js", {"Sec_Fetch_Site": "same-site"}, id="another port's page"),
        pytest.param(404, "/../pyproject.toml", {}, id="up a folder"),
        pytest.param(404, "/%2e%2e/pyproject.toml", {}, id="up a folder, spelled"),
        pytest.param(404, "//etc/passwd", {}, id="another root"),
        pytest.param(404, "/main.js/", {}, id="a file as a folder"),
        pytest.param(404, "/main.js.gz", {}, id="how a file is kept"),
        pytest.param(404, "http://evil.example/", {}, id="as a proxy"),
        pytest.param(401, "/session", {}, id="no token"),
        pytest.param(401, "/session?token=TOKEN", {}, id="the token elsewhere"),
        pytest.param(401, "/session", {"Authorization": "Bearer wrong"}, id="wrong token"),
        pytest.param(401, "/session", {"Authorization": "Bearer "}, id="empty token"),
        pytest.param(401, "/session", {"Authorization": "Basic TOKEN"}, id="another scheme"),
        pytest.param(
            403,
            "/session",
            {"Authorization": "Bearer TOKEN", "Origin": "https://evil.example"},
            id="the token from a foreign page",
        ),
        pytest.param(426, LSP, {}, id="no socket"),
        pytest.param(401, LSP, {**SOCKET, "Sec_WebSocket_Protocol": "inkling"}, id="no key"),
        pytest.param(
            401, LSP, {**SOCKET, "Sec_WebSocket_Protocol": "inkling, TOKEN"}, id="token, not key"
        ),
        pytest.param(403, LSP, {**SOCKET, "Origin": "https://evil.example"}, id="foreign socket"),
        pytest.param(403, LSP, {**SOCKET, "Origin": ""}, id="socket without an origin"),
        pytest.param(404, "/lsp", SOCKET, id="no model"),
        pytest.param(404, "/lsp?model=../../x", SOCKET, id="a path for a model"),
        pytest.param(431, "/", {"X": "x" * 9000}, id="a long header"),
        pytest.param(414, f"/{'x' * 9000}", {}, id="a long address"),
        pytest.param(None, "/", {"Content_Length": "5"}, id="a body"),
        pytest.param(None, "/", {"Transfer_Encoding": "chunked"}, id="a body in pieces"),
        pytest.param(None, "/\x00\xff", {}, id="an address that is none"),
    ],
)
async def test_a_request_gets_its_status(
    status: int | None, target: str, headers: dict[str, str]
) -> None:
    await check(status, target, **headers)


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
async def test_only_get_is_answered(method: str) -> None:
    await check(405, "/", method=method)


async def test_the_token_opens_once_and_the_key_after_it() -> None:
    async with playground() as opened:
        key = await opened.key()
        for secret, status in ((opened.token, 401), (key, 200), (key, 200)):
            found = await opened.status("/session", Authorization=f"Bearer {secret}")
            assert found == status


async def test_a_key_opens_a_socket() -> None:
    async with playground() as opened, opened.socket(await opened.key()) as socket:
        assert socket.subprotocol == "inkling"


async def test_what_is_sent_may_load_nothing_from_elsewhere() -> None:
    async with playground() as opened:
        _, headers, body = await opened.answer(opened.request("/"))
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert f"connect-src 'self' ws://{opened.host};" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in headers
        assert body == b"<p>the page"


async def test_a_page_is_packed_for_whoever_takes_it() -> None:
    async with playground() as opened:
        request = opened.request("/", headers={"Accept-Encoding": "br, gzip"})
        _, headers, body = await opened.answer(request)
        assert headers["Content-Encoding"] == "gzip"
        assert body.startswith(b"\x1f\x8b")


async def test_nobody_but_this_machine_reaches_it() -> None:
    async with playground() as opened:
        assert opened.host.startswith("127.0.0.1:")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("::1", opened.port)


async def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "OPENING_SECONDS", 0.05)
    async with playground() as opened:
        assert await opened.answer(b"GET / HTTP/1.1\r\nHost:") == (None, {}, b"")


async def closed_by(opened: Opened, message: str | bytes) -> int | None:
    """Send one message over a socket; return the code that it is closed with."""
    socket = await opened.socket(await opened.key())
    with contextlib.suppress(ConnectionClosed):
        await socket.send(message)
    await asyncio.wait_for(socket.wait_closed(), 10)
    return socket.close_code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param("x" * (web.MAX_MESSAGE_BYTES + 1), 1009, id="more than 32 MiB"),
        pytest.param(b"{}", 1003, id="no text"),
    ],
)
async def test_a_message_that_is_none_ends_the_connection(message: str | bytes, code: int) -> None:
    async with playground() as opened:
        assert await closed_by(opened, message) == code


async def test_a_message_of_no_json_is_answered() -> None:
    async with playground() as opened, opened.socket(await opened.key()) as socket:
        await socket.send("{")
        assert json.loads(await socket.recv())["error"]["code"] == -32700


async def test_there_are_only_so_many_sessions_at_once() -> None:
    async with playground() as opened:
        key = await opened.key()
        sockets = [await opened.socket(key) for _ in range(web.MAX_SESSIONS)]
        with pytest.raises(InvalidStatus) as refused:
            await opened.socket(key)
        assert refused.value.response.status_code == 503
        for socket in sockets:
            await socket.close()
