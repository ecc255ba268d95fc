from collections.abc import Callable, Iterable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server import framing
from lsp_server.decoding import decode
from lsp_server.framing import FrameError, FrameParser, JsonLinesError, Lost, frame


def check(data: bytes, *bodies: bytes) -> None:
    assert list(FrameParser().feed(data)) == list(bodies)


def check_lost(data: bytes, *items: bytes | str) -> None:
    """In place of some bodies, strings say why they are lost."""
    found = [item.reason if isinstance(item, Lost) else item for item in FrameParser().feed(data)]
    assert found == list(items)


def check_refused(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        list(FrameParser().feed(data))


def test_two_frames_in_one_piece() -> None:
    check(frame(b"{}") + frame(b"[1]"), b"{}", b"[1]")


def test_half_a_frame_waits_for_the_other_half() -> None:
    parser = FrameParser()
    data = frame(b"{}")
    assert list(parser.feed(data[:-1])) == []
    assert list(parser.feed(data[-1:])) == [b"{}"]


def test_a_header_in_lower_case_without_a_space() -> None:
    check(b"content-length:2\r\n\r\n{}", b"{}")


def test_a_header_that_ends_its_lines_with_line_feeds() -> None:
    check(b"Content-Length: 2\n\n{}", b"{}")


def test_further_header_lines() -> None:
    check(b"Content-Type: application/x; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}", b"{}")


def test_the_same_length_twice() -> None:
    check(b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", b"{}")


def test_an_empty_body() -> None:
    check(b"Content-Length: 0\r\n\r\n" + frame(b"{}"), b"", b"{}")


CUT_OFF = "the next message begins within a message"


def test_a_body_that_speaks_of_headers() -> None:
    body = b'{"text": "Content-Length: 9\\r\\n\\r\\n{}"}'
    check(frame(body), body)


def test_a_body_that_was_cut_off_is_lost_and_the_next_one_found() -> None:
    check_lost(
        b"Content-Length: 900\r\n\r\n{" + frame(b"[1]") + frame(b"[2]"), CUT_OFF, b"[1]", b"[2]"
    )


@pytest.mark.parametrize("too_much", [1, 10, 22, 23])
def test_a_length_that_is_a_little_too_large_loses_one_body(too_much: int) -> None:
    data = b"Content-Length: %d\r\n\r\n{}" % (2 + too_much)
    check_lost(data + frame(b"[1]") + frame(b"[2]"), CUT_OFF, b"[1]", b"[2]")


def test_a_body_that_is_too_long_is_lost_and_its_beginning_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(framing, "MAX_BODY_BYTES", 5_000)
    parser, body = FrameParser(), b'{"id": 1}'.ljust(5_001)
    (lost,) = parser.feed(frame(body)[:2_000])
    assert isinstance(lost, Lost)
    assert (lost.head, lost.reason) == (body[:1024], "a message of 5001 bytes is longer than 5000")
    assert list(parser.feed(frame(body)[2_000:] + frame(b"{}"))) == [b"{}"]


def test_what_is_lost_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_BODY_BYTES", 5_000)
    parser = FrameParser()
    list(parser.feed(b"Content-Length: 900000000000\r\n\r\n"))
    for _ in range(100):
        list(parser.feed(bytes(64_000)))
        assert len(parser._buffer) < 100
    assert list(parser.feed(frame(b"{}"))) == [b"{}"]


def test_a_body_that_does_not_come_is_given_up_and_thrown_away_when_it_comes() -> None:
    parser = FrameParser()
    assert list(parser.feed(frame(b"[1, 2, 3]")[:-4])) == []
    assert parser.is_within_body
    assert parser.give_up() == Lost(b"[1, 2", "4 bytes of a message did not come")
    assert not parser.is_within_body
    assert list(parser.feed(b", 3]" + frame(b"{}"))) == [b"{}"]


@pytest.mark.parametrize(
    "data", [b'{"jsonrpc": "2.0"}\n', b'\n {"id"', b"[{}]", b"{}\n", b"[\n  {"]
)
def test_json_without_a_header_is_known_as_such(data: bytes) -> None:
    with pytest.raises(JsonLinesError, match="must begin with a header") as caught:
        list(FrameParser().feed(data))
    assert caught.value.head == data


def test_two_lengths_are_refused() -> None:
    check_refused(b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "2 lengths")


def test_no_length_is_refused() -> None:
    check_refused(b"Content-Type: x\r\n\r\n", "0 lengths")


def test_garbage_is_refused_as_soon_as_a_line_of_it_is_there() -> None:
    check_refused(b"\x00\xff hello\r\n", "no colon")


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"0x10", b"", b"1 2", b"9" * 5000])
def test_a_length_that_is_no_number_is_refused(length: bytes) -> None:
    check_refused(b"Content-Length: " + length + b"\r\n\r\n", "no number")


def test_an_endless_header_is_refused() -> None:
    check_refused(b"x" * framing.MAX_HEADER_BYTES, "header is longer")


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_frames_arrive_whole_in_whatever_pieces(bodies: list[bytes], data: st.DataObject) -> None:
    parser, received = FrameParser(), list[bytes]()
    for piece in _pieces(b"".join(map(frame, bodies)), data):
        received += parser.feed(piece)
    assert received == bodies


FRAGMENTS = [
    *(
        b"Content-Length: ",
        b"content-length:",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"{}",
        b'{"id":1}',
        b"[",
        b"0",
    ),
    *(b"7", b"99999999999", b" ", b"x:y", b"\x00\xff", frame(b"{}"), frame(b'{"id": 2}')),
]


@given(st.binary(max_size=200) | st.lists(st.sampled_from(FRAGMENTS)).map(b"".join), st.data())
def test_any_bytes_are_frames_or_refused_in_whatever_pieces(
    data: bytes, draw: st.DataObject
) -> None:
    whole = _fed([data])
    num_bytes = sum(len(item) for item in whole if isinstance(item, bytes))
    assert num_bytes < max(len(data), 1)
    in_pieces = _fed(_pieces(data, draw))
    assert len(in_pieces) <= len(data)


def test_a_million_mutated_frames_neither_crash_nor_hang(num_examples: Callable[..., int]) -> None:
    random = Random(0)
    message = b'{"jsonrpc":"2.0","id":%d,"method":"textDocument/hover","params":{"a":"b"}}'
    for number in range(num_examples(short=3_000, long=1_000_000)):
        data = bytearray(b"".join(frame(message % n) for n in (number, 1, 2)))
        for _ in range(random.randint(1, 4)):
            mutate(random, data)
        items = _fed([bytes(data)])
        assert len(items) <= 20
        for item in items:
            decode(item if item != "refused" else b"")


def mutate(random: Random, data: bytearray) -> None:
    start = random.randrange(len(data) + 1)
    match random.randrange(4):
        case 0:
            data[start : start + random.randint(1, 30)] = b""
        case 1:
            data[start:start] = random.choice(FRAGMENTS)
        case 2:
            data[start : start + 1] = random.randbytes(1)
        case _:
            data[start:start] = data[: random.randint(1, 60)]


def _fed(pieces: Iterable[bytes]) -> list[bytes | Lost | str]:
    """Feed the pieces in turn; a refusal is the last item."""
    parser, items = FrameParser(), list[bytes | Lost | str]()
    try:
        for piece in pieces:
            items += parser.feed(piece)
    except FrameError:
        items.append("refused")
    return items


def _pieces(data: bytes, draw: st.DataObject) -> Iterator[bytes]:
    while data:
        size = draw.draw(st.integers(1, len(data)))
        yield data[:size]
        data = data[size:]
