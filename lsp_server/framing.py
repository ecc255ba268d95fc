r"""Cut a stream of bytes into the bodies of messages, and find the next one where that fails.

A frame is `Content-Length: N`, further header lines, a blank line, N bytes (LSP 3.18, "Base
Protocol"). Read leniently: header names in any case, optional space, "\r\n" or "\n".

A body is lost, and the stream goes on behind it, where
- it is longer than MAX_BODY_BYTES: it is counted and thrown away as it comes;
- the next header stands in it: the length was wrong, or the writer died within the body. A header
  behind which a line ends cannot be part of any JSON, which has no such line between its tokens and
  escapes every line end in its strings;
- nothing more of it came for a while (`give_up`; what is "a while" the transport decides). Should
  the rest come after all, it is thrown away.

Where a header should stand and something else does, the next one cannot be known: FrameError.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

import msgspec

MAX_HEADER_BYTES: Final = 8 << 10
MAX_BODY_BYTES: Final = 64 << 20
HEAD_BYTES: Final = 1 << 10
"""How much is kept of a body that is lost: methods, ids and addresses stand at the beginning."""

_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")
_HEADER_LINE: Final = re.compile(rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*?)[ \t]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,12}")
_JSON: Final = re.compile(rb'\s*(?:\{\s*["}]|\[\s*[\[{\]])')
_NAME: Final = b"Content-Length:"
_HEADER_WITHIN: Final = re.compile(rb"Content-Length: ?[0-9]{1,12}\r?\n")
_LONGEST_HEADER_WITHIN: Final = 40


class FrameError(Exception):
    """The bytes are no frame, and where the next one starts cannot be known."""


class JsonLinesError(FrameError):
    """The bytes are JSON where a header should be: messages that end with a line each.

    `head` is the beginning of the first one.
    """

    def __init__(self, head: bytes) -> None:
        super().__init__(
            "a message must begin with a header, Content-Length: and its number of bytes; "
            "this is JSON alone"
        )
        self.head = head


class Lost(msgspec.Struct, frozen=True):
    """A body that could not be taken: its beginning, and why."""

    head: bytes
    reason: str


class _Part(Enum):
    HEADER = auto()
    BODY = auto()
    LOST_BODY = auto()


class FrameParser:
    """Cut a stream of bytes into bodies, whatever pieces it arrives in."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._part = _Part.HEADER
        self._num_missing = 0
        """How many bytes of the body are still to be taken, those in the buffer among them."""
        self._num_searched = 0

    @property
    def is_within_body(self) -> bool:
        """Whether more must come for a message that somebody may be waiting for."""
        return self._part is _Part.BODY

    def feed(self, data: bytes) -> Iterator[bytes | Lost]:
        """Take more bytes; yield each body they complete, and each that is lost.

        Raises FrameError.
        """
        self._buffer += data
        while True:
            if self._part is _Part.HEADER:
                if not self._read_header():
                    return
            elif self._part is _Part.LOST_BODY:
                if not self._skip_body():
                    return
            elif (body := self._take_body()) is not None:
                yield body
            else:
                return

    def give_up(self) -> Lost:
        """Lose the body that has not come, because nobody should wait for it any longer."""
        return self._lose(
            f"{self._num_missing - len(self._buffer)} bytes of a message did not come"
        )

    def _read_header(self) -> bool:
        """Return whether the length of the next body is known."""
        if _JSON.match(self._buffer):
            raise JsonLinesError(self._head())
        end = _END_OF_HEADER.search(self._buffer, 0, MAX_HEADER_BYTES)
        if end is not None:
            self._num_missing = _content_length(self._take(end.end()))
            self._part = _Part.BODY
            return True
        complete_lines, line_feed, _ = self._buffer[:MAX_HEADER_BYTES].rpartition(b"\n")
        if line_feed:
            _fields(complete_lines)
        if len(self._buffer) >= MAX_HEADER_BYTES:
            raise FrameError(f"a header is longer than {MAX_HEADER_BYTES} bytes")
        return False

    def _take_body(self) -> bytes | Lost | None:
        """Return the body, or that it is lost; None where more must come."""
        length = self._num_missing
        if (start := self._header_within()) is not None:
            lost = Lost(self._head(), "the next message begins within a message")
            self._end_body(start)
            return lost
        if length > MAX_BODY_BYTES and len(self._buffer) >= HEAD_BYTES:
            return self._lose(f"a message of {length} bytes is longer than {MAX_BODY_BYTES}")
        if len(self._buffer) < length:
            return None
        body = self._take(length)
        self._end_body(0)
        return body

    def _skip_body(self) -> bool:
        """Throw away what there is of a lost body; return whether that was its end."""
        if (start := self._header_within()) is not None:
            self._end_body(start)
            return True
        if len(self._buffer) >= self._num_missing:
            self._end_body(self._num_missing)
            return True
        # What may be the beginning of a header stays.
        num_bytes = max(0, len(self._buffer) - _LONGEST_HEADER_WITHIN)
        del self._buffer[:num_bytes]
        self._num_missing -= num_bytes
        self._num_searched = 0
        return False

    def _header_within(self) -> int | None:
        """Return where in the body the next header stands, should it do so."""
        end = min(self._num_missing, len(self._buffer))
        start = self._num_searched
        while (start := self._buffer.find(_NAME, start, end + len(_NAME) - 1)) >= 0:
            if _HEADER_WITHIN.match(self._buffer, start):
                return start
            start += 1
        self._num_searched = max(0, end - _LONGEST_HEADER_WITHIN)
        return None

    def _lose(self, reason: str) -> Lost:
        self._part = _Part.LOST_BODY
        return Lost(self._head(), reason)

    def _end_body(self, num_bytes: int) -> None:
        del self._buffer[:num_bytes]
        self._part, self._num_searched = _Part.HEADER, 0

    def _head(self) -> bytes:
        return bytes(self._buffer[:HEAD_BYTES])

    def _take(self, num_bytes: int) -> bytes:
        with memoryview(self._buffer) as view:
            taken = bytes(view[:num_bytes])
        del self._buffer[:num_bytes]
        return taken


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def json_line(body: bytes) -> bytes:
    return body + b"\n"


def _content_length(header: bytes) -> int:
    """Return the one length that a header states. Raises FrameError where there is no such."""
    lengths = {int(value) for name, value in _fields(header) if name == b"content-length"}
    if len(lengths) != 1:
        raise FrameError(f"a header states {len(lengths)} lengths instead of one")
    return lengths.pop()


def _fields(lines: bytes | bytearray) -> list[tuple[bytes, bytes]]:
    """Return names, in lower case, and values. Raises FrameError where a line is no field."""
    fields = list[tuple[bytes, bytes]]()
    for line in lines.splitlines():
        if not line.strip():
            continue
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise FrameError("a header line has no colon")
        name, value = bytes(match[1]).lower(), bytes(match[2])
        if name == b"content-length" and not _LENGTH.fullmatch(value):
            raise FrameError("the Content-Length is no number of bytes")
        fields.append((name, value))
    return fields
