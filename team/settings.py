"""What the service allows: under which names, to whom, and how much of everything. Values only."""

from pathlib import Path
from typing import Final

import msgspec

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the service answers, and how much.

    `hosts` are the names that a request may be addressed to; any address is one, too, where
    `takes_addresses`: what a foreign name was made to lead here is told apart by that name.

    A request needs a token where `requires_token` says so or there is any in `tokens_file`. Of all
    that are under way at once, `max_waiting` wait or run, and `max_waiting_of_one` of one person.
    `deadline_ms` holds for requests that name none. A body of `max_body_bytes` at most has come
    within `body_seconds`. What was told beside requests is kept for `max_sessions` of them.
    """

    hosts: frozenset[str] = LOOPBACK_NAMES
    takes_addresses: bool = False
    tokens_file: Path | None = None
    requires_token: bool = False
    max_body_bytes: int = 1 << 20
    body_seconds: float = 10.0
    max_waiting: int = 16
    max_waiting_of_one: int = 4
    deadline_ms: int = 10_000
    max_sessions: int = 64
