"""What a supervisor knows of a host that it talks to, whoever else does."""

import asyncio
from typing import Protocol

from inference.serving.wire import ToHost


class HostConnection(Protocol):
    """Lives from the start of a host, or from when it was found, until `ended` says why not."""

    ended: asyncio.Future[str]

    @property
    def process_id(self) -> int: ...

    @property
    def last_line(self) -> str: ...

    @property
    def is_listening(self) -> bool: ...

    @property
    def num_unsent_bytes(self) -> int: ...

    def send(self, message: ToHost) -> None: ...

    def release(self, reason: str) -> None:
        """Have no use for it any more. The first reason is the one that `ended` gives."""
        ...

    def kill(self, reason: str) -> None:
        """End the host itself, which is no use to anybody."""
        ...
