"""What all routes share: a body within its bounds, refusals, and how an answer is sent.

A field is checked here before any of its value goes further. What a refusal says names the field
and what was expected there, and quotes nothing of a text.
"""

import asyncio
import math
from typing import Annotated, Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from inference import (
    MAX_REMEMBERED_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Completion,
    FinishReason,
    Scope,
)

PLACE_CHARACTERS: Final = 256
"""So much of a text's beginning tells it from others where its file has no name."""

MAX_WRITTEN_TOKENS: Final = 512
"""The most that is written for one request, see inference.CompletionRequest."""

LongText = Annotated[str, msgspec.Meta(max_length=MAX_REMEMBERED_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(max_length=1024)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=600_000)]
StopText = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
StopTexts = Annotated[tuple[StopText, ...], msgspec.Meta(max_length=16)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]

CUT_OFF: Final = frozenset({FinishReason.LENGTH, FinishReason.DEADLINE})
SAMPLING: Final = "greedy"

Body = TypeVar("Body")


class Neighbour(msgspec.Struct, frozen=True):
    """Another text of the user's, which is evidence for what is written."""

    text: LongText
    filename: Name = ""


Neighbours = Annotated[tuple[Neighbour, ...], msgspec.Meta(max_length=64)]


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """What our own clients say beyond what others know, see inference.CompletionRequest.

    `language` is an LSP language id; where there is none, `filepath` tells it. The file is not
    looked for.
    """

    language: Name | None = None
    filepath: Name | None = None
    extra: Neighbours = ()
    deadline_ms: Milliseconds | None = None
    scope: Scope = "auto"
    first_text_ms: Milliseconds | None = None
    num_skipped: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


class Refused(Exception):  # noqa: N818 - it is an answer
    """An answer that is none: the status, a sentence, and when to come again, in seconds."""

    def __init__(
        self, status: int, message: str, *, retry_after: float | None = None, closes: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.retry_after, self.closes = retry_after, closes


async def read(request: Request, body_type: type[Body], *, limit: int, seconds: float) -> Body:
    """Return the body of a request, within `limit` bytes and `seconds`. Raises Refused."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(415, "the body's content type is to be application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "the body is to come as it is, without an encoding")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            content = await _content(request, limit)
    except TimeoutError as error:
        raise Refused(408, f"the body did not come within {seconds:g} s", closes=True) from error
    return decoded(content, body_type)


def decoded(content: bytes, body_type: type[Body]) -> Body:
    """Return what a body says. Raises Refused: 400 what is no JSON, 422 what is out of bounds."""
    try:
        return msgspec.json.decode(content, type=body_type)
    except msgspec.ValidationError as error:
        raise Refused(422, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, "the body is no JSON that can be read") from error


async def _content(request: Request, limit: int) -> bytes:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > limit:
            raise _too_large(limit)
    return bytes(content)


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit} bytes")


def within_bounds(prefix: str, suffix: str) -> tuple[str, str, int]:
    """Cut to what the engine takes; return the number of characters left out before, too."""
    num_skipped = max(0, len(prefix) - MAX_TEXT_CHARACTERS)
    return prefix[num_skipped:], suffix[:MAX_TEXT_CHARACTERS], num_skipped


def cut_at(text: str, stops: StopTexts) -> tuple[str, str]:
    """Return a text up to the first of `stops`, and which one that was; "" where none is there."""
    found = min(((text.find(stop), stop) for stop in stops if stop in text), default=None)
    return (text, "") if found is None else (text[: found[0]], found[1])


def told_of(completion: Completion) -> dict[str, object]:
    """Return what our own clients are told of a completion beyond what others know."""
    return {
        "finish_reason": completion.finish_reason,
        "origin": completion.origin,
        "sampling": SAMPLING,
        "timings": completion.timings,
        "log_probabilities": completion.log_probabilities,
        "syntax": completion.syntax,
    }


def answer(content: Any, status: int = 200) -> Response:  # noqa: ANN401 - whatever JSON can hold
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def events(*contents: object, ends_with: str | None = None) -> Response:
    """Return server-sent events, see the HTML standard, 9.2.

    An engine answers once, so that all of them are there when the first one is.
    """
    lines = [msgspec.json.encode(content).decode() for content in contents]
    lines += [] if ends_with is None else [ends_with]
    body = "".join(f"data: {line}\n\n" for line in lines)
    return Response(body, media_type="text/event-stream")


def refusal(refused: Refused) -> Response:
    """Return an error as OpenAI and llama-server send them."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    error = {"code": refused.status, "message": refused.message, "type": kind}
    response = answer({"error": error}, refused.status)
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(refused.retry_after)))
    if refused.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refused.closes:
        response.headers["Connection"] = "close"
    return response
