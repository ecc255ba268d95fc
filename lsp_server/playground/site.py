"""The page's files, as they are sent: read once, found by their exact names, never by a path.

Each is kept compressed, and is unpacked only for whoever does not say that gzip will do.
"""

import gzip
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from inference import InklingError

if TYPE_CHECKING:
    from websockets.http11 import Response

INDEX: Final = "index.html"
SUFFIX: Final = ".gz"

TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
}

# Monaco writes its colours into style elements as it runs; scripts are files of ours alone.
POLICY: Final = (
    "default-src 'self'; connect-src 'self' {socket}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Page(NamedTuple):
    content_type: str
    compressed: bytes


def read_site(folder: Path) -> Mapping[str, Page]:
    """Return the files of a folder by their addresses. Raises InklingError where it has no page."""
    pages = {
        f"/{path.stem}": Page(TYPES[Path(path.stem).suffix], path.read_bytes())
        for path in sorted(folder.glob(f"*{SUFFIX}"))
        if Path(path.stem).suffix in TYPES
    }
    if f"/{INDEX}" not in pages:
        raise InklingError(f"{folder} does not hold the playground's page; build it anew")
    return {**pages, "/": pages[f"/{INDEX}"]}


def page_response(page: Page, accepted: str, socket_origin: str) -> "Response":
    """Return the answer to a request for a page; `accepted` is what encodings it takes."""
    is_gzip = "gzip" in accepted
    body = page.compressed if is_gzip else gzip.decompress(page.compressed)
    encoding = {"Content-Encoding": "gzip"} if is_gzip else {}
    return response(HTTPStatus.OK, body, page.content_type, socket_origin, encoding)


def response(
    status: HTTPStatus,
    body: bytes,
    content_type: str,
    socket_origin: str,
    more: Mapping[str, str] | None = None,
) -> "Response":
    """Return an answer with the headers that each one has."""
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY.format(socket=socket_origin),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            **(more or {}),
        }
    )
    return Response(status.value, status.phrase, headers, body)
