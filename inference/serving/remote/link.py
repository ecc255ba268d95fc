"""The connection to an endpoint: the only file that talks to httpx2.

Nothing is followed anywhere: no redirect, no proxy and no certificate that the environment names,
so that what is sent goes to the host that the user named or nowhere. Certificates are verified
against the system's. To cancel is to close the connection. Loaded where an endpoint is named, and
only there.
"""

import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Final, cast

import httpx2
import msgspec

from inference.serving.remote.dialects import Question
from inference.serving.remote.endpoint import Endpoint
from inference.serving.remote.trouble import TroubleError

MAX_ANSWER_BYTES: Final = 1 << 20
"""512 tokens are some kilobytes, and what is told beside them some more."""

CONNECT_S: Final = 2.0
SETTLE_S: Final = 60.0
"""How long a first answer may take, for which a model may have to be loaded."""

NUM_CONNECTIONS: Final = 32
IDLE_S: Final = 30.0

_NONE: Final[Mapping[str, str]] = {}

_REFUSALS: Final = frozenset({400, 404, 405, 415, 422, 501})
_BUSY: Final = frozenset({429, 503})

# A line for each request, with its address, is no use to anyone.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class Link:
    """One client for one endpoint, in one event loop."""

    def __init__(self, endpoint: Endpoint, token: str | None) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "inkling"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._endpoint = endpoint
        self._client = httpx2.AsyncClient(
            headers=headers,
            trust_env=False,
            follow_redirects=False,
            limits=httpx2.Limits(
                max_connections=NUM_CONNECTIONS,
                max_keepalive_connections=4,
                keepalive_expiry=IDLE_S,
            ),
            timeout=httpx2.Timeout(SETTLE_S, connect=CONNECT_S),
        )

    async def lines(
        self, question: Question, headers: Mapping[str, str]
    ) -> AsyncGenerator[bytes, None]:
        """Ask, and yield the answer line by line. Leaving it closes the connection.

        Raises TroubleError. A connection that was kept and has ended meanwhile is made anew, once.
        """
        request = self._asking(question, headers)
        async with contextlib.AsyncExitStack() as stack:
            with _told():
                try:
                    response = await self._client.send(request, stream=True)
                except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                    response = await self._client.send(request, stream=True)
                stack.push_async_callback(response.aclose)
                _check(response)
                async for line in _lines(response):
                    yield line

    async def get(self, route: str) -> object:
        """Return the JSON that stands there. Raises TroubleError."""
        return await self._json(self._client.build_request("GET", self._endpoint.base + route))

    async def post(self, question: Question, headers: Mapping[str, str] = _NONE) -> object:
        """Ask for what is not streamed, and return its JSON. Raises TroubleError."""
        return await self._json(self._asking(question, headers))

    async def close(self) -> None:
        await self._client.aclose()

    def _asking(self, question: Question, headers: Mapping[str, str]) -> httpx2.Request:
        return self._client.build_request(
            "POST",
            self._endpoint.base + question.route,
            content=msgspec.json.encode(question.body),
            headers={"Content-Type": "application/json", **headers},
        )

    async def _json(self, request: httpx2.Request) -> object:
        with _told():
            response = await self._client.send(request, stream=True)
            try:
                _check(response)
                content = b"".join([line + b"\n" async for line in _lines(response)])
            finally:
                await response.aclose()
        try:
            said: object = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TroubleError("it answers in words that are not understood") from error
        if isinstance(said, dict) and cast("dict[str, object]", said).get("error") is not None:
            raise TroubleError("it answers that something is wrong", is_refusal=True)
        return cast("object", said)


async def _lines(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Yield the lines as they come, the last one too; an answer that is not streamed is one."""
    rest, num_bytes = b"", 0
    is_whole = response.headers.get("content-type", "").startswith("application/json")
    async for chunk in response.aiter_raw():
        num_bytes += len(chunk)
        if num_bytes > MAX_ANSWER_BYTES:
            raise TroubleError("it answers without end")
        *whole, rest = [rest + chunk] if is_whole else (rest + chunk).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest


def _check(response: httpx2.Response) -> None:
    """Raise TroubleError where this is no answer."""
    code = response.status_code
    if code == 200:
        return
    if 300 <= code < 400:
        raise TroubleError("it sends us elsewhere, where we do not go; name the address itself")
    if code in (401, 403):
        raise TroubleError(f"it refuses our token ({code}); see docs/remote.md")
    if code in _BUSY:
        raise TroubleError(f"it is busy ({code})", pause_s=_pause_s(response))
    raise TroubleError(f"it answers with {code}", is_refusal=code in _REFUSALS)


def _pause_s(response: httpx2.Response) -> float:
    """Return how long it wants to be left alone; dates are not read, since clocks differ."""
    said = response.headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0.0


@contextlib.contextmanager
def _told() -> Generator[None]:
    """Say what is wrong with a connection in the user's words."""
    try:
        yield
    except httpx2.ConnectTimeout as error:
        raise TroubleError("it cannot be reached") from error
    except httpx2.ConnectError as error:
        raise TroubleError(_why_no_connection(error)) from error
    except httpx2.TimeoutException as error:
        raise TroubleError("it is silent") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise TroubleError("the connection broke off") from error


def _why_no_connection(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate is not trusted, or it does not speak TLS"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there"
        cause = cause.__cause__ or cause.__context__
    return "it cannot be reached"
