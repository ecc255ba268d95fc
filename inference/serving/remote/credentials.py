"""The token for an endpoint, and the secret that hides a document's name from it.

    keyring                          service "inkling", user name: the endpoint's origin
    <data>/remote/HOST_PORT.token    the token and nothing else; for its owner alone
    <data>/remote/secret             made here, once; for its owner alone

A token belongs to one origin, so that another address never gets it. No environment variable and
no argument holds one: both can be read by other programs, and the first by a workspace's tools.
The keyring is asked where the library of that name is installed.
"""

import hashlib
import hmac
import importlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any, Final

from inference.errors import RemoteError
from inference.package.store import data_folder
from inference.private_files import write_private
from inference.serving.remote.endpoint import Endpoint

SERVICE: Final = "inkling"
MAX_TOKEN_BYTES: Final = 4096
SECRET_BYTES: Final = 32
NUM_SESSION_CHARACTERS: Final = 32

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
"""What a header can hold."""


def remote_folder() -> Path:
    return data_folder() / "remote"


def token_file(endpoint: Endpoint) -> Path:
    """Return where the token of an endpoint lies, if it lies in a file."""
    host = re.sub(r"[^a-z0-9.-]", "_", endpoint.host)
    return remote_folder() / f"{host}_{endpoint.port}.token"


def find_token(endpoint: Endpoint) -> str | None:
    """Return the token for an endpoint, None where there is none.

    Raises RemoteError where it could be read by others, here or on its way.
    """
    token = _from_keyring(endpoint) or _from_file(token_file(endpoint))
    if token is None:
        return None
    if not _TOKEN.fullmatch(token):
        raise RemoteError(f"the token for {endpoint.origin} is none: it is one word of ASCII")
    if not endpoint.is_private:
        raise RemoteError(
            f"there is a token for {endpoint.origin}, which everyone on the way could read; "
            "use https://"
        )
    return token


def session_secret() -> bytes:
    """Return this user's secret, made now where there is none.

    Raises RemoteError where others can read it; OSError where none can be written.
    """
    file = remote_folder() / "secret"
    found = read_private(file, SECRET_BYTES)
    if found is None or len(found) < SECRET_BYTES:
        found = secrets.token_bytes(SECRET_BYTES)
        write_private(file, found)
    return found


def session_id(secret: bytes, document: str) -> str:
    """Return what an endpoint knows a document by: the same each time, and nothing can be read."""
    digest = hmac.new(secret, document.encode("utf-8", "replace"), hashlib.sha256)
    return digest.hexdigest()[:NUM_SESSION_CHARACTERS]


def read_private(file: Path, max_bytes: int) -> bytes | None:
    """Return what a file holds, None where there is none.

    Raises RemoteError where others can read or write it, or it is larger than that.
    """
    try:
        with file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            content = opened.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RemoteError(f"{file} cannot be read: {error.strerror}") from error
    if os.name == "posix" and (stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.getuid()):
        raise RemoteError(f"{file} can be read by others; `chmod 600` it, or make it your own")
    if len(content) > max_bytes:
        raise RemoteError(f"{file} is larger than {max_bytes} bytes")
    return content


def _from_file(file: Path) -> str | None:
    content = read_private(file, MAX_TOKEN_BYTES)
    return None if content is None else content.decode("utf-8", "replace").strip() or None


def _from_keyring(endpoint: Endpoint) -> str | None:
    """Ask the system's keyring. One that is locked, broken or not there has no token."""
    try:
        keyring: Any = importlib.import_module("keyring")
        found = keyring.get_password(SERVICE, endpoint.origin)
    except Exception:  # each system's keyring raises what it likes
        return None
    return found if isinstance(found, str) and found else None
