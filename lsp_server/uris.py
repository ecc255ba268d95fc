"""Know two addresses of one document as the same, however a client spells them.

Clients differ from their own libraries in what they escape and in the case of a drive's letter:
`file:///C:/a`, `file:///c%3A/a` and `file:/c:/a` are one file. Pure, and nothing here looks at a
disk: two names of a file that only a file system knows to be one stay two documents.
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:|")
_DELIMITERS: Final = re.compile(rb"([/?#])")
_FILE: Final = re.compile(rb"file:(?://(?:localhost)?(?=/|$))?(?=/|$)", re.IGNORECASE)
_DRIVE: Final = re.compile(r"file:/[A-Za-z]%3A(?=/|$)")


def document_key(uri: str) -> str:
    """Return what is the same for all spellings of an address. Never raises.

    Every character between delimiters is escaped, or none was: RFC 3986 (6.2.2) calls both equal.
    """
    data = _FILE.sub(b"file:", uri.encode("utf-8", "surrogatepass"), count=1)
    scheme = _SCHEME.match(data)
    assert scheme is not None
    parts = _DELIMITERS.split(data[scheme.end() :])
    key = scheme[0].decode("ascii").lower() + "".join(
        part.decode("ascii") if index % 2 else quote(unquote_to_bytes(part), safe="")
        for index, part in enumerate(parts)
    )
    return _DRIVE.sub(lambda match: match[0].lower().replace("%3a", "%3A"), key, count=1)
