"""The frames and messages that pass between the language server and the engine host.

A frame is a length, four bytes, least significant first, and as many bytes of MessagePack
(github.com/msgpack/msgpack, spec.md): one message, a map with its name under "type".
A length over MAX_FRAME_BYTES or bytes that are no known message end the connection: after them
nothing says where the next frame would begin. This module does no IO.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import msgspec

from inference.completion import Completion, CompletionRequest, Name, Request
from inference.engine import EngineStatus
from inference.errors import WireError

MAX_FRAME_BYTES: Final = 4 << 20

_LENGTH_BYTES: Final = 4

Message = TypeVar("Message")


class Complete(msgspec.Struct, frozen=True, tag="complete", forbid_unknown_fields=True):
    id: int
    request: Request


class Warm(msgspec.Struct, frozen=True, tag="warm", forbid_unknown_fields=True):
    """Read what this request would read, once nobody waits; nothing is answered."""

    request: CompletionRequest


class Leave(msgspec.Struct, frozen=True, tag="leave", forbid_unknown_fields=True):
    """A document was closed: nothing more is read or written of it ahead of time."""

    document: Name


class Remember(msgspec.Struct, frozen=True, tag="remember", forbid_unknown_fields=True):
    """A text of the user's that is evidence for others; None where there is none any more."""

    document: Name
    text: str | None


class Cancel(msgspec.Struct, frozen=True, tag="cancel", forbid_unknown_fields=True):
    """Nobody waits for this answer any more; none is sent."""

    id: int


class Ping(msgspec.Struct, frozen=True, tag="ping", forbid_unknown_fields=True):
    pass


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown", forbid_unknown_fields=True):
    pass


class Status(msgspec.Struct, frozen=True, tag="status", forbid_unknown_fields=True):
    """Sent at the start, and whenever it changes."""

    status: EngineStatus


class Answer(msgspec.Struct, frozen=True, tag="answer", forbid_unknown_fields=True):
    id: int
    completion: Completion


class Failed(msgspec.Struct, frozen=True, tag="failed", forbid_unknown_fields=True):
    """The engine broke on this request. `message` holds no document text."""

    id: int
    message: str


class Pong(msgspec.Struct, frozen=True, tag="pong", forbid_unknown_fields=True):
    """`stalled_ms` is how long the running job has not begun a step; 0 where none runs."""

    stalled_ms: float


ToHost = Complete | Warm | Leave | Remember | Cancel | Ping | Shutdown
FromHost = Status | Answer | Failed | Pong


class MessageReader(Generic[Message]):
    """Cut a stream of bytes into messages, however the stream is chopped."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[Message]) -> None:
        self._decoder = decoder
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield every message that `data` completes.

        Raises WireError at a malformed frame, after the messages before it.
        """
        self._buffer += data
        while (frame := self._next_frame()) is not None:
            try:
                yield self._decoder.decode(frame)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise WireError(f"a frame of {len(frame)} bytes is no message: {error}") from error

    def _next_frame(self) -> bytes | None:
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "little")
        if length > MAX_FRAME_BYTES:
            raise WireError(f"a frame claims {length} bytes, more than {MAX_FRAME_BYTES}")
        end = _LENGTH_BYTES + length
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_LENGTH_BYTES:end])
        del self._buffer[:end]
        return frame


def read_to_host() -> MessageReader[ToHost]:
    return MessageReader(_TO_HOST)


def read_from_host() -> MessageReader[FromHost]:
    return MessageReader(_FROM_HOST)


def encode(message: ToHost | FromHost) -> bytes:
    """Encode one message. Raises WireError where it is longer than a frame may be."""
    encoded = msgspec.msgpack.encode(message)
    if len(encoded) > MAX_FRAME_BYTES:
        raise WireError(f"a message has {len(encoded)} bytes, more than {MAX_FRAME_BYTES}")
    return len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded


_TO_HOST: Final = msgspec.msgpack.Decoder(ToHost)
_FROM_HOST: Final = msgspec.msgpack.Decoder(FromHost)
