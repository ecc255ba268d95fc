"""Decide who is let in. Pure, but for the secrets it makes.

A browser sends what any page of the web asks of it to this machine as well, and a name of the web
may lead here (DNS rebinding). So the host's own name must be the one asked for, and no other origin
may ask. Another program of this machine can send whatever headers it likes: it knows no secret.

    the address, once ──► /session, with the token ──► the key, for as long as we run
                          /lsp, with the key       ──► a language server of one's own

The token stands behind the address's #, which no browser sends; it is used up by the first who has
it. Neither secret is a cookie: nothing is sent by a browser by itself, and a cookie would go to
every server on this machine's name, whatever its port.
"""

import hmac
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from websockets.datastructures import Headers
    from websockets.http11 import Request

LOOPBACK: Final = "127.0.0.1"
PROTOCOL: Final = "inkling"
"""The WebSocket's subprotocol; the key is offered beside it, as no page can set another header."""

BEARER: Final = "Bearer "
OWN_SITES: Final = frozenset({"none", "same-origin"})
"""Of Fetch Metadata's values those of the page itself, and of an address that somebody types."""


class Door:
    def __init__(self, port: int) -> None:
        self._host = f"{LOOPBACK}:{port}"
        self._token = secrets.token_urlsafe(24)
        self._is_used = False
        self.key = secrets.token_urlsafe(24)

    @property
    def origin(self) -> str:
        return f"http://{self._host}"

    @property
    def address(self) -> str:
        """What is opened in a browser, and lets in once."""
        return f"{self.origin}/#{self._token}"

    @property
    def socket_origin(self) -> str:
        return f"ws://{self._host}"

    def refusal(self, request: "Request") -> HTTPStatus | None:
        """Return why a request is not answered whatever it asks for, None for one that may be."""
        if request.method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED
        headers = request.headers
        is_foreign = headers.get_all("Host") != [self._host] or not self._is_own(headers)
        return HTTPStatus.FORBIDDEN if is_foreign else None

    def lets_in(self, request: "Request") -> bool:
        """Say whether a request for /session may have the key. The token opens once."""
        offered = request.headers.get_all("Authorization")
        if len(offered) != 1 or not offered[0].startswith(BEARER):
            return False
        secret = offered[0].removeprefix(BEARER)
        if _is_same(secret, self.key):
            return True
        is_token = _is_same(secret, self._token) and not self._is_used
        self._is_used = self._is_used or is_token
        return is_token

    def socket_refusal(self, request: "Request") -> HTTPStatus | None:
        """Return why a request for /lsp gets no socket; a page always says where it comes from."""
        headers = request.headers
        if headers.get("Upgrade", "").lower() != "websocket":
            return HTTPStatus.UPGRADE_REQUIRED
        if headers.get_all("Origin") != [self.origin]:
            return HTTPStatus.FORBIDDEN
        offered = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
        has_key = any(_is_same(name.strip(), self.key) for name in offered)
        return None if has_key else HTTPStatus.UNAUTHORIZED

    def _is_own(self, headers: "Headers") -> bool:
        origins, sites = headers.get_all("Origin"), headers.get_all("Sec-Fetch-Site")
        return all(origin == self.origin for origin in origins) and OWN_SITES.issuperset(sites)


def _is_same(offered: str, secret: str) -> bool:
    return hmac.compare_digest(offered.encode("utf-8", "surrogateescape"), secret.encode())
