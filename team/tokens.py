"""Who may use the service: a token for each name, shown once, of which only a hash is kept.

    <user's data folder>/inkling/tokens.json     0600; refused where others could read it

A token is 256 random bits, so one round of SHA-256 keeps it as well as many would (NIST SP 800-63B,
5.1.2.2, asks for slow hashes of what people think up). A file that changed is read again with the
next request: who was revoked is out at once.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec

from inference import InklingError, data_folder, write_private

PREFIX: Final = "inkling_"
"""Lets scanners for secrets know one that was left somewhere."""

MAX_FILE_BYTES: Final = 4 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

Stamp = tuple[int, int, int]


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`sha256` is the token's, in hexadecimal; `created` is in seconds since 1970.

    `per_minute` requests may come in a minute, and `per_day` in a day; 0 is no bound.
    """

    name: str
    sha256: str
    created: int
    per_minute: Annotated[int, msgspec.Meta(ge=0)] = 0
    per_day: Annotated[int, msgspec.Meta(ge=0)] = 0


def tokens_file() -> Path:
    return data_folder() / "tokens.json"


class TokenStore:
    """The tokens in a file, as it is now; without a file there are none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._records: tuple[TokenRecord, ...] = ()

    def all(self) -> tuple[TokenRecord, ...]:
        """Return what is kept of each token. Raises InklingError where the file cannot be used."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._records = () if stamp is None else _read(self._path)
            self._stamp = stamp
        return self._records

    def find(self, token: str) -> TokenRecord | None:
        """Return whose token this is, in a time that does not tell how near a guess was."""
        offered, found = _sha256(token), None
        for record in self.all():
            if hmac.compare_digest(offered.encode(), record.sha256.encode()):
                found = record
        return found

    def add(self, name: str, *, per_minute: int = 0, per_day: int = 0) -> str:
        """Make a token for a name and return it; nobody can be shown it again.

        Raises InklingError where the name is none, or has a token.
        """
        if not _NAME.fullmatch(name):
            raise InklingError(
                f"{name!r} is no name for a token; use letters, digits, dots, dashes and @"
            )
        records = self.all()
        if any(record.name == name for record in records):
            raise InklingError(f"{name} has a token; `inkling token revoke {name}` takes it back")
        token = PREFIX + secrets.token_urlsafe(32)
        record = TokenRecord(
            name=name,
            sha256=_sha256(token),
            created=int(time.time()),
            per_minute=per_minute,
            per_day=per_day,
        )
        self._write((*records, record))
        return token

    def revoke(self, name: str) -> None:
        """Take back the token of a name. Raises InklingError where it has none."""
        records = self.all()
        kept = tuple(record for record in records if record.name != name)
        if len(kept) == len(records):
            raise InklingError(f"{name} has no token; `inkling token list` shows who has")
        self._write(kept)

    def _write(self, records: tuple[TokenRecord, ...]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.format(msgspec.json.encode(records), indent=1) + b"\n"
        write_private(self._path, content)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> tuple[TokenRecord, ...]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise InklingError(f"cannot read {path}: {error.strerror}") from error
    if sys.platform != "win32" and mode & 0o077:
        raise InklingError(f"others can read {path}; `chmod 600` it, and make its tokens anew")
    try:
        return msgspec.json.decode(content, type=tuple[TokenRecord, ...])
    except msgspec.DecodeError as error:
        raise InklingError(f"{path} holds no tokens ({error}); move it away") from error


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
