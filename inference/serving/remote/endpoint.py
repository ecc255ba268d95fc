"""What the user says of a remote endpoint: where it is, which model, and how that spells holes.

All of it comes from the command line and the environment of the user, never from a workspace
(invariant 23). Nothing here opens a connection.
"""

import ipaddress
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from inference.errors import RemoteError
from inference.fim import FimOrder

MAX_NEIGHBOURS: Final = 8

_PORTS: Final = {"http": 80, "https": 443}


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the models of some names spell a hole in a text, in the orders of `inference.fim`.

    `models` are parts of the names that an endpoint tells, in small letters; the longest that is
    found decides. `middle` is empty where the middle follows the prefix at once. `ends` are
    spellings of tokens that end a completion, where a server writes them out.
    """

    name: str
    order: FimOrder
    prefix: str
    suffix: str
    middle: str = ""
    ends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def arrange(self, before: str, behind: str) -> str:
        """Return the text behind which the model writes the middle."""
        match self.order:
            case "psm":
                return f"{self.prefix}{before}{self.suffix}{behind}{self.middle}"
            case "spm":
                return f"{self.prefix}{self.suffix}{behind}{self.middle}{before}"
            case "suffix_prefix":
                return f"{self.suffix}{behind}{self.prefix}{before}{self.middle}"

    @property
    def markers(self) -> tuple[str, ...]:
        """What never belongs to a completion."""
        marks = (self.prefix, self.suffix, self.middle, *self.ends)
        return tuple(dict.fromkeys(mark.strip() for mark in marks if mark.strip()))


class RemoteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is where an endpoint's routes begin, with or without `/v1`.

    `model` None means the first one that it tells. `layout` names one of `layouts`; None means the
    one for the model's name. So many as `num_neighbours` of the user's other texts go with a
    request, where the endpoint takes any; none unless the user says so.
    """

    url: str
    model: str | None = None
    layout: str | None = None
    layouts: tuple[Layout, ...] = ()
    num_neighbours: Annotated[int, msgspec.Meta(ge=0, le=MAX_NEIGHBOURS)] = 0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An address that was checked. `base` is what routes are put behind, without a slash."""

    base: str
    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Read an address. Raises RemoteError where it is none, or holds what does not belong."""
        parts, port = _split(url)
        base = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/v1")
        host = (parts.hostname or "").lower()
        return cls(base=base, scheme=parts.scheme, host=host, port=port)

    @property
    def origin(self) -> str:
        """What a token is for, and nothing else ever gets it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read along: encrypted, or on this machine."""
        return self.scheme == "https" or is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its spelling; no name is looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def layout_for(model: str, options: RemoteOptions) -> Layout | None:
    """Return the layout that the user names, or the one for a model's name.

    Raises RemoteError where the named one is unknown.
    """
    if options.layout is not None:
        found = next((one for one in options.layouts if one.name == options.layout), None)
        if found is None:
            names = ", ".join(one.name for one in options.layouts)
            raise RemoteError(f"no layout is called {options.layout}; there are {names}")
        return found
    name = model.lower()
    fitting = [
        (len(part), layout) for layout in options.layouts for part in layout.models if part in name
    ]
    return max(fitting, key=lambda one: one[0])[1] if fitting else None


def _split(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise RemoteError(f"{url!r} is no address of an endpoint: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise RemoteError(f"{url!r} is no address of an endpoint; it begins http:// or https://")
    if "@" in parts.netloc:  # what stands before it is not repeated here: it may be a password
        raise RemoteError(
            "the address of an endpoint holds no user and no password; keep a token as "
            "docs/remote.md says"
        )
    if parts.query or parts.fragment:
        raise RemoteError(f"{url!r} holds more than an address; leave out what follows ? or #")
    return parts, port or _PORTS[parts.scheme]
