import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.decoding import Spelled, Unreadable, decode, is_request_id, outline
from lsp_server.framing import Lost
from lsp_server.lines import LARGE_CHARACTERS, MeasuredText

CHANGE = (
    '{"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"contentChanges": [{"id": 3}'
    '], "textDocument": {"uri": "file:///a", "version": 3}}}'
)
REQUEST = '{"id":12,"jsonrpc":"2.0","method":"m","params":{"id":5,"method":"other"}}'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values),
    max_leaves=8,
)  # fmt: skip


def check(body: bytes | Lost, expected: object) -> None:
    assert decode(body) == expected


def test_a_byte_order_mark_is_ignored() -> None:
    check(b'\xef\xbb\xbf{"a": "\xef\xbb\xbf"}', {"a": "\ufeff"})


def test_a_number_is_read_or_kept_as_it_is_spelled() -> None:
    long = "-" + "7" * 5_000
    check(f"[1, 1.5, 1.0, {long}, 1e999]".encode(), [1, 1.5, 1.0, Spelled(long), Spelled("1e999")])


@given(VALUES)
def test_json_is_read_as_it_was_written(value: object) -> None:
    check(json.dumps(value).encode(), value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b"[Infinity]", b"\xff\xfe", b"[" * 100_000, b"{} {}"]
)
def test_what_is_not_json_is_unreadable(body: bytes) -> None:
    check(body, Unreadable("the message is not JSON in utf-8", is_json=False))


def test_of_what_is_lost_its_beginning_tells_what_it_was() -> None:
    found = Unreadable("too long", True, "textDocument/didChange", None, "file:///a")
    check(Lost(CHANGE.encode(), "too long"), found)
    found = Unreadable("too long", True, "m", 12)
    check(Lost(REQUEST.encode(), "too long"), found)


@pytest.mark.parametrize("length", range(len(REQUEST)))
def test_half_a_value_is_not_taken_for_a_whole_one(length: int) -> None:
    whole, part = outline(REQUEST), outline(REQUEST[:length])
    assert part.items() <= whole.items()


def test_what_stands_in_arrays_is_not_taken_for_members() -> None:
    assert outline('{"a": [{"id": 1}, 2], "b": {"c": "d"}}') == {("b", "c"): "d"}


@given(st.text(max_size=60) | st.text('{}[]":,\\\\ 1a', max_size=60))
def test_any_text_has_an_outline(text: str) -> None:
    outline(text)


def test_large_texts_come_measured_and_others_as_they_are() -> None:
    large, small = "x\n" * LARGE_CHARACTERS, "x" * (LARGE_CHARACTERS - 1)
    message = {"params": {"contentChanges": [{"text": large}, {"text": small}]}}
    decoded = decode(json.dumps(message).encode())
    assert decoded == message
    texts = [change["text"] for change in decoded["params"]["contentChanges"]]
    assert [type(text) for text in texts] == [MeasuredText, str]
    assert texts[0].lines.num_lines == LARGE_CHARACTERS + 1


@pytest.mark.parametrize("value", ["", "a", 0, -1, 2**70, 1.5, Spelled("1e999")])
def test_strings_and_numbers_are_ids(value: object) -> None:
    assert is_request_id(value)


@pytest.mark.parametrize("value", [None, True, False, [], {}])
def test_nothing_else_is_an_id(value: object) -> None:
    assert not is_request_id(value)
