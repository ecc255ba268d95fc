import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.lines import PIECE_CHARACTERS, Lines, MeasuredText, Piece, Unit, num_units

SEPARATORS = "\r\n\f\v\x1c\x85\u2028\u2029"
FACE = "\N{GRINNING FACE}"
TEXTS = st.text(st.sampled_from("ab\r\n" + SEPARATORS + FACE + "é"), max_size=60)
UNITS = st.sampled_from(list(Unit))


def check(text: str, *expected: str) -> None:
    lines = Lines.of(text)
    assert [lines.line(index) for index in range(lines.num_lines)] == list(expected)


def test_an_empty_text_is_one_empty_line() -> None:
    check("", "")


def test_a_line_ending_opens_another_line() -> None:
    check("a\n", "a\n", "")


def test_the_three_line_endings_split() -> None:
    check("a\r\nb\rc\nd", "a\r\n", "b\r", "c\n", "d")


def test_a_carriage_return_before_crlf_is_a_line_of_its_own() -> None:
    check("\r\r\n", "\r", "\r\n", "")


@pytest.mark.parametrize("separator", "\f\v\x1c\x1d\x1e\x85\u2028\u2029")
def test_nothing_else_splits(separator: str) -> None:
    check(f"a{separator}b", f"a{separator}b")


@given(TEXTS, st.data())
def test_lines_hold_the_text_and_its_measures(text: str, data: st.DataObject) -> None:
    lines = _in_pieces(text, data)
    parts = _split(text)
    assert lines.text == text
    assert (lines.num_lines, lines.num_characters) == (len(parts), len(text))
    assert lines.num_bytes == len(text.encode())
    assert lines.is_blank is not any(part.strip() for part in parts)
    assert [lines.line(index) for index in range(lines.num_lines)] == parts
    ends = [lines.between(lines.start_of(n), lines.end_of(n)) for n in range(lines.num_lines)]
    assert ends == [part.rstrip("\r\n") for part in parts]


@given(TEXTS, st.data())
def test_places_and_offsets_are_inverse(text: str, data: st.DataObject) -> None:
    lines = _in_pieces(text, data)
    offset = data.draw(st.integers(0, len(text)))
    line_index, column = lines.place_of(offset)
    assert lines.start_of(line_index) + column == offset
    assert lines.place_of(len(text) + 5) == lines.place_of(len(text))


@given(TEXTS, st.data())
def test_a_part_is_what_slicing_gives(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(0, len(text) + 3))
    assert _in_pieces(text, data).between(start, end) == text[start : max(start, end)]


@given(TEXTS, st.data(), UNITS)
def test_units_are_counted_as_in_the_whole(text: str, data: st.DataObject, unit: Unit) -> None:
    lines = _in_pieces(text, data)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    count = data.draw(st.integers(0, 4 * len(text)))
    assert lines.units_between(start, end, unit) == num_units(text[start:end], unit)
    fitting = [n for n in range(end - start + 1) if num_units(text[start:][:n], unit) <= count]
    assert lines.forward(start, end, count, unit) == start + max(fitting)


@given(TEXTS, TEXTS, st.data())
def test_what_is_replaced_leaves_the_rest_alone(text: str, other: str, data: st.DataObject) -> None:
    before = _in_pieces(text, data)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    after = before.replaced(start, end, other)
    expected = text[:start] + other + text[end:]
    assert after.text == expected
    assert [after.line(n) for n in range(after.num_lines)] == _split(expected)
    assert all(piece.text for piece in after._pieces) or not expected
    assert before.text == text


def test_an_edit_of_a_long_text_keeps_every_other_piece() -> None:
    before = Lines.of("line\n" * 100_000)
    after = before.replaced(250_000, 250_004, "changed")
    kept = {id(piece) for piece in before._pieces} & {id(piece) for piece in after._pieces}
    assert len(kept) == len(before._pieces) - 1


def test_a_line_ending_is_never_cut_in_two() -> None:
    lines = Lines.of("a" + "\r\n" * 5 * PIECE_CHARACTERS)
    assert len(lines._pieces) > 5
    assert not any(piece.text.endswith("\r") for piece in lines._pieces)


def test_typing_does_not_make_pieces_grow_without_bound() -> None:
    lines = Lines.of("end")
    for _ in range(3 * PIECE_CHARACTERS):
        lines = lines.replaced(0, 0, "x")
    assert max(len(piece.text) for piece in lines._pieces) <= 2 * PIECE_CHARACTERS


def test_deleting_does_not_leave_many_small_pieces() -> None:
    lines = Lines.of("x" * 100 * PIECE_CHARACTERS)
    for start in range(0, 100 * PIECE_CHARACTERS // 50, 50):
        lines = lines.replaced(start, min(start + 50 * 49, lines.num_characters), "")
    num_characters = lines.num_characters
    assert len(lines._pieces) <= 2 + 2 * num_characters // (PIECE_CHARACTERS // 2)


def test_a_measured_text_is_a_text_and_brings_its_lines() -> None:
    text = MeasuredText("a\nb" * PIECE_CHARACTERS)
    assert text == "a\nb" * PIECE_CHARACTERS
    assert Lines.of(text) is text.lines


def _in_pieces(text: str, data: st.DataObject) -> Lines:
    """Return the text in pieces so small that every test crosses their borders."""
    inner = [n for n in range(1, len(text)) if text[n - 1 : n + 1] != "\r\n"]
    cuts = data.draw(st.sets(st.sampled_from(inner))) if inner else set[int]()
    borders = [0, *sorted(cuts), len(text)]
    return Lines([Piece(text[start:end]) for start, end in itertools.pairwise(borders)])


def _split(text: str) -> list[str]:
    """Split character by character, as the specification reads."""
    lines = [""]
    for index, character in enumerate(text):
        lines[-1] += character
        if character == "\n" or (character == "\r" and text[index + 1 : index + 2] != "\n"):
            lines.append("")
    return lines
