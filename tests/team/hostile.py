"""What somebody may send who means no good: a name, bytes with pauses between them, and the status.

Each is as good as it can be but for one thing. Status None is a connection closed without a word.
"""

import gzip
import json
from typing import NamedTuple

PORT = b"8012"
"""Stands for the service's own wherever it is written."""

TOKEN = "inkling_" + "t" * 43
"""Stands for a token that is good."""

GOOD = b'{"prompt":"x"}'


class Attack(NamedTuple):
    name: str
    pieces: tuple[bytes | float, ...]
    status: int | None


def request(
    body: bytes = GOOD,
    *,
    line: str = "POST /v1/completions HTTP/1.1",
    without: str = "",
    **headers: str | bytes | None,
) -> bytes:
    """Return a good request, with the headers that are named put in the place of its own."""
    fields: dict[str, str | bytes | None] = {
        "Host": "127.0.0.1:8012",
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode())
        for name, value in fields.items()
        if value is not None and name != without
    ]
    return b"\r\n".join([line.encode(), *lines, b"", body])


def get(path: str, method: str = "GET", **headers: str) -> bytes:
    return request(b"", line=f"{method} {path} HTTP/1.1", without="Content-Length", **headers)


def fields(line: str = "POST /v1/completions HTTP/1.1", **values: object) -> bytes:
    return request(json.dumps({"prompt": "x", **values}).encode(), line=line)


def infill(**values: object) -> bytes:
    return fields("POST /infill HTTP/1.1", input_prefix="x", **values)


def extended(**values: object) -> bytes:
    return fields(inkling=values)


def raw(number: bytes) -> bytes:
    return request(b'{"prompt":"x","max_tokens":%b}' % number)


def nested(depth: int, key: bytes = b"unknown") -> bytes:
    return request(b'{"prompt":"x","%b":%b%b}' % (key, b"[" * depth, b"]" * depth))


def chunked(*chunks: bytes, ends: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + ends
    return request(body, without="Content-Length", Transfer_Encoding="chunked")


LONG = b'{"prompt":"' + b"x" * (1 << 20) + b'"}'
HEAD, BODY = request().split(b"\r\n\r\n")

LENGTHS = {
    "two lengths": (request(content_length="2"), 400),
    "a length and chunks": (request(Transfer_Encoding="chunked"), 400),
    "chunks within another coding": (
        request(Transfer_Encoding="gzip, chunked", without="Content-Length"),
        400,
    ),
    "a coding that looks like chunks": (
        request(Transfer_Encoding="xchunked", without="Content-Length"),
        400,
    ),
    "a blank before the colon": (
        request().replace(b"Content-Length:", b"Content-Length :"),
        400,
    ),
    "a length below nothing": (request(Content_Length="-1"), 400),
    "a length with a sign": (request(Content_Length="+14"), 400),
    "a length in sixteens": (request(Content_Length="0xE"), 400),
    "a length beyond all numbers": (request(Content_Length="9" * 30), 400),
    "a length beyond all memory": (request(Content_Length="9" * 18), 413),
    "a chunk that is none": (chunked(ends=b"Z\r\n"), 400),
    "a chunk's length beyond all numbers": (chunked(ends=b"f" * 40 + b"\r\n"), 400),
    "an end of line that is in a value": (request(X_A=b"a\rb"), 400),
    "nothing where a value is": (request(X_A=b"a\0b"), 400),
}
WHO = {
    "no host": (request(Host=None), 400),
    "two hosts": (request(host="evil.example"), 400),
    "a foreign host": (request(Host="evil.example"), 403),
    "a host that ends in another": (request(Host="localhost.evil.example:8012"), 403),
    "a host behind another": (request(Host="127.0.0.1:8012@evil.example"), 403),
    "an old request to no host": (
        request(line="POST /v1/completions HTTP/1.0", Host=None),
        403,
    ),
    "a foreign page": (request(Origin="http://evil.example"), 403),
    "a page from nowhere": (request(Origin="null"), 403),
    "a page that asks first": (get("/v1/completions", "OPTIONS", Origin="http://evil"), 403),
    "a picture on a page": (get("/v1/models", Sec_Fetch_Site="cross-site"), 403),
    "a form": (request(Content_Type="application/x-www-form-urlencoded"), 415),
    "a text that is JSON": (request(Content_Type="text/plain"), 415),
    "no kind of body": (request(Content_Type=None), 415),
    "a body that is packed": (request(gzip.compress(GOOD), Content_Encoding="gzip"), 415),
    "no token": (request(Authorization=None), 401),
    "a guessed token": (request(Authorization="Bearer inkling_" + "A" * 43), 401),
    "most of a token": (request(Authorization=f"Bearer {TOKEN[:-1]}"), 401),
    "a token and more": (request(Authorization=f"Bearer {TOKEN}A"), 401),
    "an empty token": (request(Authorization="Bearer "), 401),
    "two tokens": (request(authorization=f"Bearer {TOKEN}"), 401),
    "another kind of token": (request(Authorization="Basic YW5uOmFubg=="), 401),
    "a token in the address": (
        request(line=f"POST /v1/completions?api_key={TOKEN} HTTP/1.1", Authorization=None),
        401,
    ),
    "a token without an end": (request(Authorization="Bearer " + "A" * 10_000), 401),
    "a token of bytes": (request(Authorization=b"Bearer \xff\xfe\x80"), 401),
    "no token for the models": (get("/v1/models", Authorization="x"), 401),
}
SIZES = {
    "a head that comes in parts and has no end": (
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 70_000),
        400,
    ),
    "a long head": (request(X_A="a" * 20_000), 431),
    "many headers": (request(**{f"x{number}": "a" * 100 for number in range(400)}), 431),
    "a long address": (get("/" + "a" * 20_000), 414),
    "a long body": (request(LONG), 413),
    "a long body in chunks": (chunked(*[b" " * 60_000] * 20), 413),
    "a long prompt": (fields(prompt="x" * 400_001), 422),
    "a long suffix": (fields(suffix="x" * 400_001), 422),
    "a long path": (extended(filepath="x" * 1025), 422),
    "a long model": (fields(model="x" * 1025), 422),
    "many texts": (extended(extra=[{"text": "x"}] * 65), 422),
    "many stops": (fields(stop=["x"] * 17), 422),
    "many fields": (infill(response_fields=["x"] * 65), 422),
    "many sessions": (request(X_Session_Id="a", x_session_id="b"), 422),
    "a long session": (request(X_Session_Id="a" * 300), 422),
}
JSON = {
    "nothing": (request(b""), 400),
    "half of it": (request(b'{"prompt":'), 400),
    "a bomb": (nested(100_000), 400),
    "a bomb in a field": (nested(100_000, b"inkling"), 422),
    "a bomb of objects": (request(b'{"a":' * 100_000), 400),
    "no object": (request(b"[]"), 422),
    "no text": (fields(prompt=1), 422),
    "no prompt": (request(b"{}"), 422),
    "many prompts": (fields(prompt=["x", "y"]), 422),
    "tokens": (fields(prompt=[1, 2, 3]), 422),
    "bytes": (request(b'{"prompt":"\xff"}'), 400),
    "half a pair": (request(b'{"prompt":"\\ud800"}'), 400),
    "no number": (raw(b"NaN"), 400),
    "endless": (raw(b"1e999"), 422),
    "too much": (raw(b"9" * 400), 422),
    "below nothing": (raw(b"-1"), 422),
    "none": (raw(b"0"), 422),
    "half a token": (raw(b"1.5"), 422),
    "a token in words": (raw(b'"1"'), 422),
    "true": (raw(b"true"), 422),
    "many answers": (fields(n=1_000_000), 422),
    "a cold temperature": (fields(temperature=-1), 422),
    "a stop that is everywhere": (fields(stop=""), 422),
    "an echo": (fields(echo=True), 422),
    "time without end": (extended(deadline_ms=10**9), 422),
    "no scope": (extended(scope="everything"), 422),
    "many tokens to fill": (infill(n_predict=10**30), 422),
    "fewer than none to fill": (infill(n_predict=-2), 422),
}
PATHS = {
    "above": (get("/../../etc/passwd"), 404),
    "above, hidden": (get("/%2e%2e/%2e%2e/etc/passwd"), 404),
    "a route, hidden": (request(line="POST /v1%2fcompletions HTTP/1.1"), 404),
    "a route behind another": (request(line="POST //v1/completions HTTP/1.1"), 404),
    "a route with a tail": (request(line="POST /v1/completions/ HTTP/1.1"), 404),
    "a route from below": (request(line="POST /v1/./completions HTTP/1.1"), 404),
    "a route of somebody else": (request(line="POST http://evil.example/infill HTTP/1.1"), 404),
    "the metrics": (get("/metrics"), 404),
    "a way to somebody else": (get("evil.example:443", "CONNECT"), 404),
    "a trace": (get("/v1/completions", "TRACE"), 405),
    "a method that is none": (request(line="BREW /v1/completions HTTP/1.1"), 405),
    "a socket": (get("/v1/completions", Upgrade="websocket", Connection="Upgrade"), 405),
    "the oldest of all": (b"GET /v1/models\r\n\r\n", 400),
    "the second": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403),
    "a secret handshake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
}
SLOW: dict[str, tuple[tuple[bytes | float, ...], int | None]] = {
    "a client without a word": ((60.0,), None),
    "a head without an end": ((HEAD[:20], 60.0), None),
    "a head that drips": (tuple(piece for byte in HEAD for piece in (bytes([byte]), 0.5)), None),
    "a body without an end": ((HEAD + b"\r\n\r\n" + BODY[:5], 60.0), 408),
    "a body that drips": ((HEAD + b"\r\n\r\n", *(b"{", 3.0) * 20), 408),
    "a body that waits to be asked for": (
        (request(b"", Content_Length="9", Expect="100-continue"), 60.0),
        408,
    ),
}

AT_ONCE = {**LENGTHS, **WHO, **SIZES, **JSON, **PATHS}
ATTACKS = [
    *(Attack(name, (sent,), status) for name, (sent, status) in AT_ONCE.items()),
    *(Attack(name, pieces, status) for name, (pieces, status) in SLOW.items()),
]
