from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import (
    Position,
    PositionEncodingKind,
    Range,
    TextDocumentContentChangePartial,
    TextDocumentContentChangeWholeDocument,
    TextDocumentItem,
)

from lsp_server import lines as lines_module
from lsp_server.documents import UNITS, Document, Documents
from lsp_server.lines import PIECE_CHARACTERS, Lines, num_units

UTF8, UTF16, UTF32 = (
    PositionEncodingKind.Utf8,
    PositionEncodingKind.Utf16,
    PositionEncodingKind.Utf32,
)
URI = "file:///workspace/a.py"
FACE = "\N{GRINNING FACE}"


class Edit(NamedTuple):
    start: tuple[int, int]
    end: tuple[int, int]
    text: str


def check(text: str, *edits: Edit, gives: str, encoding: PositionEncodingKind = UTF16) -> None:
    document = _document(text, encoding)
    changes = [_change(edit) for edit in edits]
    assert document.edited(changes, 2).lines.text == gives
    assert document.lines.text == text


def test_text_is_inserted() -> None:
    check("ab\ncd", Edit((1, 1), (1, 1), "x"), gives="ab\ncxd")


def test_text_over_several_lines_is_replaced() -> None:
    check("ab\ncd\nef", Edit((0, 1), (2, 1), "-"), gives="a-f")


def test_changes_apply_to_the_result_of_the_one_before() -> None:
    check("", Edit((0, 0), (0, 0), "a\n"), Edit((1, 0), (1, 0), "b"), gives="a\nb")


def test_a_column_past_the_end_is_the_end_of_its_line() -> None:
    check("ab\ncd", Edit((0, 9), (0, 9), "!"), gives="ab!\ncd")


def test_a_line_past_the_end_is_the_end_of_the_text() -> None:
    check("ab\ncd", Edit((7, 0), (9, 3), "!"), gives="ab\ncd!")


def test_a_line_ending_cannot_be_split() -> None:
    check("ab\r\ncd", Edit((0, 3), (0, 3), "!"), gives="ab!\r\ncd")


def test_a_line_ending_is_deleted_by_reaching_into_the_next_line() -> None:
    check("ab\r\ncd", Edit((0, 2), (1, 0), ""), gives="abcd")


def test_a_line_feed_behind_a_carriage_return_makes_one_ending() -> None:
    check("a\rb\nc", Edit((1, 0), (1, 1), ""), Edit((1, 0), (1, 0), "!"), gives="a\r\n!c")


def test_a_line_feed_typed_behind_a_carriage_return_makes_one_ending() -> None:
    check("a\rb", Edit((1, 0), (1, 0), "\n"), Edit((1, 0), (1, 0), "!"), gives="a\r\n!b")


def test_a_form_feed_is_a_character() -> None:
    check("a\fb\nc", Edit((1, 0), (1, 1), "!"), gives="a\fb\n!")


def test_a_range_given_backwards_is_turned_round() -> None:
    check("abcd", Edit((0, 3), (0, 1), "-"), gives="a-d")


def test_columns_count_utf16_units() -> None:
    check(f"{FACE}a", Edit((0, 2), (0, 3), "!"), gives=f"{FACE}!", encoding=UTF16)


def test_columns_count_utf8_bytes() -> None:
    check(f"{FACE}a", Edit((0, 4), (0, 5), "!"), gives=f"{FACE}!", encoding=UTF8)


def test_columns_count_characters() -> None:
    check(f"{FACE}a", Edit((0, 1), (0, 2), "!"), gives=f"{FACE}!", encoding=UTF32)


def test_a_column_inside_a_character_is_its_start() -> None:
    check(f"{FACE}a", Edit((0, 1), (0, 1), "!"), gives=f"!{FACE}a", encoding=UTF16)


def test_a_byte_order_mark_is_a_character() -> None:
    check("\ufeffa", Edit((0, 1), (0, 1), "!"), gives="\ufeff!a", encoding=UTF16)


def test_nul_and_lone_surrogates_are_characters() -> None:
    check("\0\ud83da", Edit((0, 2), (0, 2), "!"), gives="\0\ud83d!a", encoding=UTF16)


def test_the_whole_text_is_replaced() -> None:
    document = _document("ab", UTF16)
    change = TextDocumentContentChangeWholeDocument("x\ny")
    assert document.edited([change], 2).lines.text == "x\ny"


def test_what_stands_around_an_offset_has_no_line_ending() -> None:
    assert _document("ab\r\ncd", UTF16).around(1) == ("a", "b")


@pytest.mark.parametrize("encoding", [UTF8, UTF16, UTF32])
def test_a_column_far_into_a_long_line_is_found(encoding: PositionEncodingKind) -> None:
    content = f"é{FACE}a" * PIECE_CHARACTERS
    column = 2 * PIECE_CHARACTERS + 1
    place = Position(1, num_units(content[:column], UNITS[encoding]))
    document = _document(f"a\r\n{content}\r\nb", encoding)
    assert document.offset_at(place) == column + 3
    assert document.position_at(column + 3) == place


WHOLE = TextDocumentContentChangeWholeDocument("whole")


def check_after(documents: Documents, text: str | None, uri: str = URI) -> None:
    document = documents.get(uri)
    assert (document and document.lines.text) == text


def test_after_an_older_version_a_document_is_unknown() -> None:
    documents = _documents("ab", version=5)
    documents.change(URI, 4, [_change(Edit((0, 0), (0, 0), "x"))])
    check_after(documents, None)
    documents.change(URI, 6, [_change(Edit((0, 0), (0, 0), "x"))])
    check_after(documents, None)
    assert documents.uris == []


def test_an_older_version_that_states_the_whole_text_is_taken() -> None:
    documents = _documents("ab", version=5)
    documents.change(URI, 4, [WHOLE, _change(Edit((0, 5), (0, 5), "!"))])
    check_after(documents, "whole!")


def test_a_change_without_a_version_is_the_next_one() -> None:
    documents = _documents("ab", version=5)
    documents.change(URI, None, [_change(Edit((0, 2), (0, 2), "c"))])
    documents.change(URI, 6, [_change(Edit((0, 3), (0, 3), "d"))])
    check_after(documents, "abcd")


def test_a_forgotten_document_is_known_again_when_it_is_replaced_whole() -> None:
    documents = _documents("ab", version=5)
    documents.forget(URI)
    check_after(documents, None)
    documents.change(URI, 1, [_change(Edit((0, 0), (0, 0), "x")), WHOLE])
    check_after(documents, "whole")
    assert documents.get(URI).language_id == "python"
    documents.change(URI, 2, [_change(Edit((0, 5), (0, 5), "!"))])
    check_after(documents, "whole!")


def test_a_forgotten_document_is_known_again_when_it_is_opened() -> None:
    documents = _documents("ab", version=5)
    documents.forget(URI)
    documents.open(TextDocumentItem(URI, "python", 1, "cd"))
    check_after(documents, "cd")


def test_a_document_that_was_closed_stays_closed() -> None:
    documents = _documents("ab", version=5)
    documents.forget(URI)
    documents.close(URI)
    documents.change(URI, 6, [WHOLE])
    check_after(documents, None)


def test_a_document_is_one_however_its_address_is_spelled() -> None:
    documents = Documents()
    documents.open(TextDocumentItem("file:///c%3A/a.py", "python", 1, "ab"))
    documents.change("file:///C:/a.py", 2, [WHOLE])
    check_after(documents, "whole", "file:///C:/a.py")
    assert documents.uris == ["file:///c%3A/a.py"]
    documents.close("file:///c:/a.py")
    check_after(documents, None, "file:///c%3A/a.py")


def test_a_document_that_is_not_open_is_ignored() -> None:
    documents = Documents()
    documents.change(URI, 1, [TextDocumentContentChangeWholeDocument("x")])
    documents.close(URI)
    assert documents.get(URI) is None


def test_opening_again_starts_again() -> None:
    documents = _documents("ab", version=5)
    documents.open(TextDocumentItem(URI, "python", 1, "cd"))
    assert _text(documents) == "cd"


def test_a_snapshot_does_not_see_later_edits() -> None:
    documents = _documents("ab", version=1)
    snapshot = documents.get(URI)
    documents.change(URI, 2, [TextDocumentContentChangeWholeDocument("later")])
    assert snapshot is not None
    assert snapshot.lines.text == "ab"


ALPHABET = "ab\r\n\f\u2028" + FACE + "é\ud800"
TEXTS = st.text(st.sampled_from(ALPHABET), max_size=12)
PLACES = st.tuples(st.integers(0, 6), st.integers(0, 14))
EDITS = st.lists(st.builds(Edit, PLACES, PLACES, TEXTS), max_size=8)


@given(TEXTS, EDITS, st.sampled_from([UTF8, UTF16, UTF32]))
def test_any_edits_equal_those_of_a_simple_model(
    text: str, edits: list[Edit], encoding: PositionEncodingKind
) -> None:
    document = _document(text, encoding)
    for edit in edits:
        document = document.edited([_change(edit)], document.version + 1)
        text = model_edit(text, edit, encoding)
        assert document.lines.text == text
        assert document.lines.num_lines == len(model_lines(text))


@given(TEXTS, PLACES, st.sampled_from([UTF8, UTF16, UTF32]))
def test_a_position_equals_that_of_a_simple_model(
    text: str, place: tuple[int, int], encoding: PositionEncodingKind
) -> None:
    offset = _document(text, encoding).offset_at(Position(*place))
    assert offset == model_offset(text, place, encoding)


@given(TEXTS, PLACES, st.sampled_from([UTF8, UTF16, UTF32]))
def test_a_position_returns_to_its_offset(
    text: str, place: tuple[int, int], encoding: PositionEncodingKind
) -> None:
    document = _document(text, encoding)
    offset = document.offset_at(Position(*place))
    assert document.offset_at(document.position_at(offset)) == offset


def test_a_million_random_edits_equal_those_of_a_simple_model(
    num_examples: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces so small that edits cross their borders, one edit upon the other."""
    monkeypatch.setattr(lines_module, "PIECE_CHARACTERS", 4)
    random = Random(0)
    for number in range(num_examples(short=4_000, long=1_000_000) // 20):
        encoding = (UTF8, UTF16, UTF32)[number % 3]
        text = _random_text(random, 40)
        document = _document(text, encoding)
        for _ in range(20):
            edit = Edit(_random_place(random), _random_place(random), _random_text(random, 6))
            document = document.edited([_change(edit)], 1)
            text = model_edit(text, edit, encoding)
            assert document.lines.text == text


def _random_text(random: Random, length: int) -> str:
    return "".join(random.choices(ALPHABET, k=random.randint(0, length)))


def _random_place(random: Random) -> tuple[int, int]:
    return random.randint(0, 12), random.randint(0, 14)


def model_edit(text: str, edit: Edit, encoding: PositionEncodingKind) -> str:
    offsets = (model_offset(text, place, encoding) for place in (edit.start, edit.end))
    start, end = sorted(offsets)
    return text[:start] + edit.text + text[end:]


def model_offset(text: str, place: tuple[int, int], encoding: PositionEncodingKind) -> int:
    """Walk the text character by character, as the specification reads."""
    line_index, character = place
    lines = model_lines(text)
    if line_index >= len(lines):
        return len(text)
    offset = sum(len(line) + len(ending) for line, ending in lines[:line_index])
    for one in lines[line_index][0]:
        character -= units_of(one, encoding)
        if character < 0:
            break
        offset += 1
    return offset


def model_lines(text: str) -> list[tuple[str, str]]:
    """Return each line and its ending."""
    lines: list[tuple[str, str]] = []
    content, rest = "", text
    while rest:
        ending = next((end for end in ("\r\n", "\n", "\r") if rest.startswith(end)), "")
        if ending:
            lines.append((content, ending))
            content, rest = "", rest[len(ending) :]
        else:
            content, rest = content + rest[0], rest[1:]
    return [*lines, (content, "")]


def units_of(character: str, encoding: PositionEncodingKind) -> int:
    point = ord(character)
    match encoding:
        case PositionEncodingKind.Utf8:
            return 1 + (point >= 0x80) + (point >= 0x800) + (point >= 0x10000)
        case PositionEncodingKind.Utf16:
            return 1 + (point >= 0x10000)
        case _:
            return 1


def _document(text: str, encoding: PositionEncodingKind) -> Document:
    return Document(URI, "python", 1, Lines.of(text), encoding)


def _documents(text: str, *, version: int) -> Documents:
    documents = Documents()
    documents.open(TextDocumentItem(URI, "python", version, text))
    return documents


def _text(documents: Documents) -> str:
    document = documents.get(URI)
    assert document is not None
    return document.lines.text


def _change(edit: Edit) -> TextDocumentContentChangePartial:
    return TextDocumentContentChangePartial(
        range=Range(Position(*edit.start), Position(*edit.end)), text=edit.text
    )
