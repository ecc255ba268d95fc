"""What a supervisor knows of a host that it talks to, whoever else does."""

import asyncio
from typing import Final, Protocol

from inference.serving.wire import ToHost, encode

MAX_UNSENT_BYTES: Final = 16 << 20
"""Who leaves this much unread has stopped reading."""


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


class Outgoing:
    """The half of a connection that messages to a host go out by."""

    _outgoing: asyncio.WriteTransport

    @property
    def is_listening(self) -> bool:
        """Whether it reads what it is sent; what it is sent meanwhile waits in our memory."""
        return not self._outgoing.is_closing() and self.num_unsent_bytes < MAX_UNSENT_BYTES

    @property
    def num_unsent_bytes(self) -> int:
        return self._outgoing.get_write_buffer_size()

    def send(self, message: ToHost) -> None:
        """Queue a message; nothing happens once the connection is closed."""
        if not self._outgoing.is_closing():
            self._outgoing.write(encode(message))

    def _send_by(self, transport: asyncio.WriteTransport) -> None:
        self._outgoing = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES - 1, low=MAX_UNSENT_BYTES // 4)
