"""wire: whatever comes over the pipe is a message, an error, or not yet there."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.engine import EngineState, EngineStatus
from inference.errors import WireError
from inference.serving.wire import (
    MAX_FRAME_BYTES,
    Answer,
    Cancel,
    Complete,
    Failed,
    Ping,
    Pong,
    Shutdown,
    Status,
    encode,
    read_from_host,
    read_to_host,
)

IDS = st.integers(0, 2**63 - 1)
# Half a surrogate pair is no Unicode text: `checked` refuses it before it gets here.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
TO_HOST = st.one_of(
    st.builds(
        Complete,
        IDS,
        st.builds(
            CompletionRequest,
            document=TEXT,
            prefix=TEXT,
            suffix=TEXT,
            max_tokens=st.integers(1, 512),
            deadline_ms=st.integers(1, 600_000),
        ),
    ),
    st.builds(Cancel, IDS),
    st.just(Ping()),
    st.just(Shutdown()),
)
FROM_HOST = st.one_of(
    st.builds(
        Status,
        st.builds(EngineStatus, state=st.sampled_from(EngineState), model=TEXT, message=TEXT),
    ),
    st.builds(
        Answer,
        IDS,
        st.builds(Completion, text=TEXT, finish_reason=st.sampled_from(FinishReason)),
    ),
    st.builds(Failed, IDS, TEXT),
    st.builds(Pong, stalled_ms=st.floats(0, 1e9)),
)


@given(st.lists(TO_HOST), st.lists(FROM_HOST), st.data())
def test_however_the_bytes_are_chopped_the_messages_are_the_same(
    to_host: list[Complete | Cancel | Ping | Shutdown],
    from_host: list[Status | Answer | Failed | Pong],
    data: st.DataObject,
) -> None:
    for reader, messages in ((read_to_host(), to_host), (read_from_host(), from_host)):
        stream = b"".join(encode(message) for message in messages)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert [message for piece in pieces for message in reader.feed(piece)] == messages


@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_not_yet_a_frame(garbage: bytes) -> None:
    reader = read_to_host()
    try:
        messages = list(reader.feed(garbage))
    except WireError:
        return
    assert b"".join(encode(message) for message in messages) == garbage[: _length(garbage)]


@given(st.one_of(TO_HOST, FROM_HOST), st.data())
def test_a_frame_with_a_byte_changed_is_a_message_or_an_error(
    message: Complete | Cancel | Ping | Shutdown | Status | Answer | Failed | Pong,
    data: st.DataObject,
) -> None:
    changed = bytearray(encode(message))
    position = data.draw(st.integers(4, len(changed) - 1))
    changed[position] = data.draw(st.integers(0, 255))
    for reader in (read_to_host(), read_from_host()):
        with contextlib.suppress(WireError):
            assert len(list(reader.feed(bytes(changed)))) == 1


def _length(stream: bytes) -> int:
    """Return how many bytes of `stream` are whole frames."""
    end = 0
    while end + 4 <= len(stream):
        size = 4 + int.from_bytes(stream[end : end + 4], "little")
        if end + size > len(stream):
            break
        end += size
    return end


def check(frame: bytes, error: str) -> None:
    """The messages before a malformed frame arrive; then there is an error."""
    messages = read_to_host().feed(encode(Ping()) + frame)
    assert next(messages) == Ping()
    with pytest.raises(WireError, match=error):
        next(messages)


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + payload


def test_a_length_over_the_bound_is_refused_before_the_bytes_come() -> None:
    check((MAX_FRAME_BYTES + 1).to_bytes(4, "little"), error="claims 4194305 bytes, more than")


def test_an_empty_frame_is_no_message() -> None:
    check(framed(b""), error="frame of 0 bytes is no message")


def test_bytes_that_are_no_messagepack_are_refused() -> None:
    check(framed(b"\xc1\xc1"), error="frame of 2 bytes is no message")


def test_text_that_is_no_utf8_is_refused() -> None:
    check(framed(b"\x81\xa4type\xa1\xff"), error="can't decode byte 0xff")


def test_lists_in_lists_without_end_are_refused() -> None:
    payload = b"\x82\xa1x" + b"\x91" * 100_000 + b"\x01\xa4type\xa4ping"
    check(framed(payload), error="maximum recursion depth")


def test_an_unknown_message_is_refused() -> None:
    check(framed(b"\x81\xa4type\xa4fork"), error="Invalid value 'fork'")


def test_a_message_for_the_other_side_is_refused() -> None:
    check(encode(Pong(stalled_ms=0)), error="Invalid value 'pong'")


def test_a_request_out_of_bounds_is_refused() -> None:
    request = CompletionRequest(document="a", prefix="", max_tokens=-1)
    check(encode(Complete(1, request)), error="max_tokens")


def test_a_field_too_many_is_refused() -> None:
    check(framed(b"\x82\xa4type\xa4ping\xa1x\x01"), error="unknown field")


def test_a_message_longer_than_a_frame_is_not_sent() -> None:
    with pytest.raises(WireError, match="more than 4194304"):
        encode(Failed(1, "x" * MAX_FRAME_BYTES))
