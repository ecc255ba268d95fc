import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import CompletionItem, Position, TextEdit

from inference import Completion, FinishReason
from inference.completion import within_bounds
from lsp_server.convert import completion_list, completion_request, inline_completion_list
from lsp_server.documents import Document
from tests.support.sessions import cursor_in, document_of

LONG_LINES = st.lists(st.integers(0, 9_000), min_size=1, max_size=30)


def check(marked: str, *, writes: str, label: str, replaces: str, with_text: str) -> None:
    """The one menu item for a completion at the cursor, and what accepting it does."""
    item = _menu_item(marked, writes)
    document, offset = cursor_in(marked)
    assert (item.label, item.filter_text, item.insert_text) == (label, label, label)
    assert isinstance(item.text_edit, TextEdit)
    assert item.text_edit.new_text == with_text
    start = document.offset_at(item.text_edit.range.start)
    assert document.lines.between(start, offset) == replaces
    assert document.offset_at(item.text_edit.range.end) == offset


def test_a_menu_item_starts_with_the_word_before_the_cursor() -> None:
    check("  total = su<|>", writes="m(x)", label="sum(x)", replaces="su", with_text="sum(x)")


def test_a_menu_item_behind_no_word_is_the_completion() -> None:
    check("return <|>", writes="a + b", label="a + b", replaces="", with_text="a + b")


def test_a_menu_item_of_several_lines_is_labelled_with_the_first() -> None:
    check(
        "d<|>",
        writes="ef f():\n  pass",
        label="def f():",
        replaces="d",
        with_text="def f():\n  pass",
    )


def test_a_menu_item_that_begins_with_a_line_break_is_labelled_with_what_shows() -> None:
    check("f():<|>", writes="\n  pass", label="pass", replaces="", with_text="\n  pass")


def test_a_menu_item_behind_an_astral_character_has_the_right_range() -> None:
    check("'\N{GRINNING FACE}' ab<|>", writes="c", label="abc", replaces="ab", with_text="abc")


def test_a_menu_item_shows_all_its_lines_beside_the_menu() -> None:
    assert _menu_item("d<|>", "ef f():\n  pass").documentation == "def f():\n  pass"
    assert _menu_item("d<|>", "ef f():").documentation is None


@pytest.mark.parametrize("text", ["", "  \n "])
def test_a_completion_that_shows_nothing_is_no_menu_item(text: str) -> None:
    assert completion_list(document_of("a"), 1, _completion(text)).items == []


def test_a_menu_asks_again_at_the_next_character() -> None:
    assert completion_list(document_of("a"), 1, _completion("b")).is_incomplete
    assert completion_list(document_of("a"), 1, _completion("")).is_incomplete


def test_ghost_text_is_inserted_at_the_cursor() -> None:
    document, offset = cursor_in("'\N{GRINNING FACE}'\r\nab<|>c")
    (item,) = inline_completion_list(document, offset, _completion("x\ny")).items
    assert item.insert_text == "x\ny"
    assert item.range is not None
    assert item.range.start == item.range.end == Position(1, 2)


def test_no_text_is_no_ghost_text() -> None:
    assert inline_completion_list(document_of("a"), 1, _completion("")).items == []


def test_a_request_holds_what_the_engine_needs() -> None:
    document, offset = cursor_in("a = <|>\nb")
    request = completion_request(document, offset, max_tokens=9, first_text_ms=40, deadline_ms=70)
    assert (request.prefix, request.suffix, request.num_skipped) == ("a = ", "\nb", 0)
    assert (request.document, request.language) == (document.uri, "python")
    assert (request.scope, request.max_tokens, request.deadline_ms) == ("auto", 9, 70)


def test_a_request_holds_no_lone_surrogate() -> None:
    document = document_of("a\ud800b", uri="file:///\udc00")
    request = completion_request(document, 3, max_tokens=1, first_text_ms=40, deadline_ms=1)
    assert (request.prefix, request.document) == ("a\ufffdb", "file:///\ufffd")


@given(LONG_LINES, st.data())
def test_a_request_holds_as_much_as_it_may(lengths: list[int], data: st.DataObject) -> None:
    document, offset = _long_document(lengths, data)
    request = completion_request(document, offset, max_tokens=1, first_text_ms=40, deadline_ms=1)
    whole = within_bounds(document.lines.text[:offset], document.lines.text[offset:])
    assert (request.prefix, request.suffix, request.num_skipped) == whole


def _menu_item(marked: str, text: str) -> CompletionItem:
    (item,) = completion_list(*cursor_in(marked), _completion(text)).items
    return item


def _completion(text: str) -> Completion:
    return Completion(text=text, finish_reason=FinishReason.BLOCK)


def _long_document(lengths: list[int], data: st.DataObject) -> tuple[Document, int]:
    document = document_of("".join("x" * length + "\n" for length in lengths))
    return document, data.draw(st.integers(0, document.lines.num_characters))
