import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server import lines as lines_module
from lsp_server.lines import Lines, split_lines

SEPARATORS = "\r\n\f\v\x1c\x85\u2028\u2029"
TEXTS = st.text(st.sampled_from("ab" + SEPARATORS + "\N{GRINNING FACE}é"), max_size=60)


def check(text: str, *lines: str) -> None:
    assert split_lines(text) == list(lines)


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


@given(TEXTS, st.integers(1, 3))
def test_lines_hold_the_text_and_its_measures(text: str, block_lines: int) -> None:
    lines = _in_blocks(text, block_lines)
    parts = split_lines(text)
    assert lines.text == text
    assert (lines.num_lines, lines.num_characters) == (len(parts), len(text))
    assert lines.num_bytes == len(text.encode())
    assert lines.is_blank is not any(part.strip() for part in parts)
    assert [lines.line(index) for index in range(lines.num_lines)] == parts


@given(TEXTS, st.integers(1, 3), st.data())
def test_places_and_offsets_are_inverse(text: str, block_lines: int, data: st.DataObject) -> None:
    lines = _in_blocks(text, block_lines)
    offset = data.draw(st.integers(0, len(text)))
    line_index, column = lines.place_of(offset)
    assert lines.start_of(line_index) + column == offset
    assert lines.place_of(len(text) + 5) == lines.place_of(len(text))


@given(TEXTS, st.integers(1, 3), st.data())
def test_a_part_is_what_slicing_gives(text: str, block_lines: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(0, len(text) + 3))
    assert _in_blocks(text, block_lines).between(start, end) == text[start : max(start, end)]


@given(TEXTS, st.integers(1, 3), st.data())
def test_replaced_lines_leave_the_others_alone(
    text: str, block_lines: int, data: st.DataObject
) -> None:
    parts = split_lines(text)
    first = data.draw(st.integers(0, len(parts) - 1))
    last = data.draw(st.integers(first, len(parts) - 1))
    before = _in_blocks(text, block_lines)
    after = before.replaced(first, last, ["x\n", "y" if last == len(parts) - 1 else "y\n"])
    ending = "" if last == len(parts) - 1 else "\n"
    assert after.text == "".join([*parts[:first], "x\n", "y" + ending, *parts[last + 1 :]])
    assert before.text == text


def test_an_edit_of_a_long_text_keeps_every_other_block() -> None:
    before = Lines.of("line\n" * 100_000)
    after = before.replaced(50_000, 50_000, ["changed\n"])
    kept = {id(block) for block in before._blocks} & {id(block) for block in after._blocks}
    assert len(kept) == len(before._blocks) - 1


def test_typing_lines_does_not_make_blocks_grow_without_bound() -> None:
    lines = Lines.of("end")
    for _ in range(5 * lines_module.BLOCK_LINES):
        lines = lines.replaced(0, 0, ["new\n", lines.line(0)])
    assert max(len(block.lines) for block in lines._blocks) <= 2 * lines_module.BLOCK_LINES


def _in_blocks(text: str, block_lines: int) -> Lines:
    """Return the text in blocks so small that every test crosses their borders."""
    parts = split_lines(text)
    blocks = [parts[start : start + block_lines] for start in range(0, len(parts), block_lines)]
    return Lines([lines_module.Block(tuple(block)) for block in blocks])
