"""Decide whether a request is looked at at all. Pure.

A browser sends what any page asks of it to this machine as well, and a name of the web may lead
here (DNS rebinding): so a request is addressed to a name of ours, and comes from no page. What says
in two ways how long it is, is two requests to somebody else on the way (request smuggling, RFC
9112, 6.1 and 11.2).
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from team.settings import ServiceSettings
from team.wire import Refused

RawHeaders = Sequence[tuple[bytes, bytes]]

OWN_SITES: Final = frozenset({b"none", b"same-origin"})
"""Of Fetch Metadata's values those that no foreign page's request has."""

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
_BEARER: Final = b"bearer "
MAX_TOKEN_BYTES: Final = 512
MAX_PATH_BYTES: Final = 2048
MAX_HEADER_BYTES: Final = 16 << 10
"""Of a head that came at once, which h11 takes however long it is."""


def check(headers: RawHeaders, raw_path: bytes, settings: ServiceSettings) -> None:
    """Raise Refused for what is not looked at, whatever it asks for."""
    if len(raw_path) > MAX_PATH_BYTES:
        raise Refused(414, f"the address is longer than {MAX_PATH_BYTES} bytes", closes=True)
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise Refused(431, f"the headers are longer than {MAX_HEADER_BYTES} bytes", closes=True)
    lengths, codings = of(headers, b"content-length"), of(headers, b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise Refused(400, "the request says more than once how long it is", closes=True)
    if not any(_is_ours(host, settings) for host in of(headers, b"host")[:1]):
        raise Refused(403, "the request is addressed to a name that is not this service's")
    if of(headers, b"origin") or not OWN_SITES.issuperset(of(headers, b"sec-fetch-site")):
        raise Refused(403, "pages of the web are not answered")
    if b"%" in raw_path or not raw_path.startswith(b"/") or b"//" in raw_path:
        raise Refused(404, "there is nothing here")


def of(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Return the values of a header, whose name is in small letters, as ASGI spells them."""
    return [value for key, value in headers if key == name]


def bearer(headers: RawHeaders) -> str | None:
    """Return the token that a request brings; None where it brings none, or several."""
    brought = of(headers, b"authorization")
    if len(brought) != 1 or not brought[0].lower().startswith(_BEARER):
        return None
    token = brought[0][len(_BEARER) :].strip()
    return token.decode("ascii", "replace") if 0 < len(token) <= MAX_TOKEN_BYTES else None


def _is_ours(host: bytes, settings: ServiceSettings) -> bool:
    match = _HOST.fullmatch(host.decode("latin-1"))
    if match is None:
        return False
    name = match["name"].strip("[]").lower()
    return name in settings.hosts or (settings.takes_addresses and is_address(name))


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
