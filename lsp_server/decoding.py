"""Read a message out of its bytes, and what can be told of one that cannot be read. Pure.

Runs in the thread that reads, so that the event loop waits neither for JSON nor for the lines of a
large text.

RFC 8259: utf-8, whose byte order mark may be ignored (8.1); numbers of any length (6), which come
back here as they were spelled where Python has none for them. NaN and Infinity are not JSON.
"""

import codecs
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard, cast

import msgspec

from lsp_server.framing import HEAD_BYTES, Lost
from lsp_server.lines import LARGE_CHARACTERS, MeasuredText

MAX_DIGITS: Final = 300
"""A longer whole number is kept as it was spelled: Python refuses to read some."""

MAX_TEXT_DEPTH: Final = 6
"""How deep in a message a document's text can stand."""

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")\s*(?:(?P<colon>:)|(?=[,}\]]))"""
    r"""|(?P<mark>[{}\[\],])|(?P<scalar>[^\s{}\[\],:"]+)(?=[\s,}\]]))"""
)


class Spelled(msgspec.Struct, frozen=True):
    """A number that is JSON and has no equal in Python."""

    text: str


RequestId = str | int | float | Spelled


class Unreadable(msgspec.Struct, frozen=True):
    """A message of which only the beginning is known; what that does not tell is None.

    `is_json` says that it may well have been JSON, and did not come whole.
    """

    reason: str
    is_json: bool
    method: str | None = None
    request_id: RequestId | None = None
    uri: str | None = None


def decode(body: bytes | Lost) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return a message as plain JSON, or that it is Unreadable. Never raises."""
    if isinstance(body, Lost):
        return unreadable(body.head, body.reason, is_json=True)
    try:
        message: object = _DECODER.decode(body.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except (ValueError, RecursionError):
        return unreadable(body[:HEAD_BYTES], "the message is not JSON in utf-8", is_json=False)
    return _measured(message, MAX_TEXT_DEPTH) if len(body) >= LARGE_CHARACTERS else message


def unreadable(head: bytes, reason: str, *, is_json: bool) -> Unreadable:
    values = outline(head.decode("utf-8", "ignore"))
    request_id, method = values.get(("id",)), values.get(("method",))
    uri = values.get(("params", "textDocument", "uri"))
    return Unreadable(
        reason,
        is_json,
        method=method if isinstance(method, str) else None,
        request_id=request_id if is_request_id(request_id) else None,
        uri=uri if isinstance(uri, str) else None,
    )


def is_request_id(value: object) -> TypeGuard[RequestId]:
    """Return whether an answer can name a request by this: a string or a number."""
    return isinstance(value, str | int | float | Spelled) and not isinstance(value, bool)


def outline(head: str) -> Mapping[tuple[str, ...], object]:
    """Return strings and numbers that stand whole in the beginning of a JSON text, by their path.

    A path consists of the names of members; what stands in arrays is left out.
    """
    values = dict[tuple[str, ...], object]()
    path, position = list[str](), 0
    while (token := _TOKEN.match(head, position)) is not None:
        position = token.end()
        if token["colon"]:
            path[-1:] = [str(_value(token["string"]))]
        elif token["mark"] in ("{", "["):
            path.append(token["mark"])
        elif token["mark"] in ("}", "]"):
            path[-1:] = []
        elif token["mark"] is None and "[" not in path:
            values[tuple(path)] = _value(token["string"] or token["scalar"])
    return values


def _value(token: str) -> object:
    try:
        return cast("object", _DECODER.decode(token))
    except ValueError:
        return None


def _measured(value: object, depth: int) -> object:
    """Return `value` with its large texts measured, see MeasuredText."""
    if isinstance(value, str):
        return MeasuredText(value) if len(value) >= LARGE_CHARACTERS else value
    if depth == 0:
        return value
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {name: _measured(member, depth - 1) for name, member in members.items()}
    if isinstance(value, list):
        return [_measured(member, depth - 1) for member in cast("list[object]", value)]
    return value


def _whole(text: str) -> object:
    return int(text) if len(text) <= MAX_DIGITS else Spelled(text)


def _fraction(text: str) -> object:
    value = float(text)
    return value if math.isfinite(value) else Spelled(text)


def _refuse(constant: str) -> Any:  # noqa: ANN401 - it has no value
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_int=_whole, parse_float=_fraction, parse_constant=_refuse)
