import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import (
    CompletionItem,
    InsertTextMode,
    Position,
    Range,
    SelectedCompletionInfo,
    TextEdit,
)
from msgspec.structs import replace

from inference import MAX_TEXT_CHARACTERS, Completion, FinishReason
from inference.completion import within_bounds
from lsp_server.convert import (
    completion_list,
    completion_request,
    document_item,
    inline_completion_list,
    name_of,
    with_selected,
)
from lsp_server.documents import Document
from lsp_server.profiles import ClientProfile
from tests.support.sessions import cursor_in, document_of

LONG_LINES = st.lists(st.integers(0, 9_000), min_size=1, max_size=30)


def check(
    marked: str, *, writes: str, label: str, replaces: str, with_text: str, language: str = "python"
) -> None:
    """The one menu item for a completion at the cursor, and what accepting it does."""
    item = _menu_item(marked, writes, language=language)
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


@pytest.mark.parametrize(
    ("language", "symbol"),
    [
        ("css", "my-jo"),
        ("css", "#jo"),
        ("css", "@jo"),
        ("scss", "$jo"),
        ("php", "$jo"),
        ("javascript", "$jo"),
        ("typescriptreact", "#jo"),
        ("ruby", "@jo"),
        ("perl", "@jo"),
        ("powershell", "my-jo"),
        ("html", "my-jo"),
        ("lisp", "my-jo"),
        ("emacs-lisp", "my-jo?"),
        ("clojure", "->jo"),
        ("scheme", "list->jo"),
    ],
)
def test_a_menu_item_starts_with_all_of_the_languages_own_symbol(
    language: str, symbol: str
) -> None:
    check(
        f"x ( {symbol}<|>",
        writes="hn",
        label=f"{symbol}hn",
        replaces=symbol,
        with_text=f"{symbol}hn",
        language=language,
    )


@pytest.mark.parametrize("language", ["python", "c", "unheard-of", ""])
def test_what_is_no_part_of_a_symbol_stays(language: str) -> None:
    for before in ("$", "#", "@", "my-"):
        check(
            f"{before}jo<|>",
            writes="hn",
            label="john",
            replaces="jo",
            with_text="john",
            language=language,
        )


def test_a_menu_item_shows_all_its_lines_beside_the_menu() -> None:
    assert _menu_item("d<|>", "ef f():\n  pass").documentation == "def f():\n  pass"
    assert _menu_item("d<|>", "ef f():").documentation is None


def test_documentation_waits_where_a_client_asks_for_it() -> None:
    item = _menu_item("d<|>", "ef f():\n  pass", ClientProfile(resolves_documentation=True))
    assert item.documentation is None
    document_item(item)
    assert item.documentation == "def f():\n  pass"


def test_a_menu_item_is_inserted_as_it_is_where_a_client_can() -> None:
    can = ClientProfile(keeps_insert_text=True)
    assert _menu_item("d<|>", "ef", can).insert_text_mode is InsertTextMode.AsIs
    assert _menu_item("d<|>", "ef").insert_text_mode is None


@pytest.mark.parametrize("text", ["", "  \n "])
def test_a_completion_that_shows_nothing_is_no_menu_item(text: str) -> None:
    assert completion_list(document_of("a"), 1, _completion(text), CLIENT).items == []


def test_a_menu_asks_again_at_the_next_character() -> None:
    assert completion_list(document_of("a"), 1, _completion("b"), CLIENT).is_incomplete
    assert completion_list(document_of("a"), 1, _completion(""), CLIENT).is_incomplete


def test_ghost_text_is_inserted_at_the_cursor() -> None:
    document, offset = cursor_in("'\N{GRINNING FACE}'\r\nab<|>c")
    (item,) = inline_completion_list(document, offset, ["x\ny"]).items
    assert item.insert_text == "x\ny"
    assert item.range is not None
    assert item.range.start == item.range.end == Position(1, 2)


def test_no_text_is_no_ghost_text() -> None:
    assert inline_completion_list(document_of("a"), 1, [""]).items == []
    assert inline_completion_list(document_of("a"), 1, []).items == []


def test_several_texts_are_several_items_in_their_order_and_each_once() -> None:
    items = inline_completion_list(document_of("a"), 1, ["x", "", "y", "x"]).items
    assert [item.insert_text for item in items] == ["x", "y"]


def check_selected(marked: str, selected: str, *, begins: int, ends: int, asks: str | None) -> None:
    """What the engine is asked where a menu has an item selected, from the word's begin to its end
    in characters; the item that is shown extends it over its range. None where there is none."""
    document, offset = cursor_in(marked)
    span = Range(document.position_at(begins), document.position_at(ends))
    info = SelectedCompletionInfo(span, selected)
    place = with_selected(document, offset, info)
    if asks is None:
        assert place is None
        return
    assert place is not None
    asked, behind = place
    assert asked.lines.text[:behind] + "<|>" + asked.lines.text[behind:] == asks
    (item,) = inline_completion_list(asked, behind, ["(x)"], selected=info).items
    assert item.range == span
    assert item.insert_text == f"{selected}(x)"


def test_a_selected_item_is_extended_over_its_range() -> None:
    check_selected("a\np = pri<|>\nb", "print", begins=6, ends=9, asks="a\np = print<|>\nb")


def test_a_selected_item_may_replace_what_is_behind_the_cursor() -> None:
    check_selected("pri<|>nt2 + 1", "print", begins=0, ends=6, asks="print<|> + 1")


def test_a_selected_item_may_stand_where_nothing_is_typed() -> None:
    check_selected("os.<|>", "path", begins=3, ends=3, asks="os.path<|>")


def test_a_selected_item_behind_an_astral_character_has_its_range() -> None:
    face = "\N{GRINNING FACE}"
    check_selected(f"'{face}' pri<|>", "print", begins=4, ends=7, asks=f"'{face}' print<|>")


def test_a_selected_item_over_several_lines_has_no_extension() -> None:
    check_selected("a\nb<|>", "a\nbc", begins=0, ends=3, asks=None)


def test_a_selected_item_that_does_not_begin_as_what_is_typed_has_no_extension() -> None:
    check_selected("prnt<|>", "print", begins=0, ends=4, asks=None)


@pytest.mark.parametrize(("begins", "ends"), [(0, 2), (4, 5)], ids=["behind", "before"])
def test_a_selected_item_elsewhere_has_no_extension(begins: int, ends: int) -> None:
    check_selected("pri<|>nt", "print", begins=begins, ends=ends, asks=None)


@given(st.text("ab\r\n\N{GRINNING FACE}"), st.text("ab\n"), st.data())
def test_what_extends_a_selected_item_can_be_shown_everywhere(
    text: str, selected: str, data: st.DataObject
) -> None:
    """Its range is on one line, and what stands in it before the cursor begins what is inserted."""
    document = document_of(text)
    places = [
        document.position_at(data.draw(st.integers(0, len(text)), label=name))
        for name in ("start", "cursor", "end")
    ]
    start, cursor, end = places
    offset = document.offset_at(cursor)
    info = SelectedCompletionInfo(Range(start, end), selected)
    place = with_selected(document, offset, info)
    if place is not None:
        (item,) = inline_completion_list(*place, ["x"], selected=info).items
        assert start.line == cursor.line == end.line
        assert document.offset_at(start) <= offset <= document.offset_at(end)
        left = document.lines.between(document.offset_at(start), offset)
        assert item.insert_text.startswith(left)
        assert place[0].lines.text[: place[1]].endswith(selected)


def test_a_request_holds_what_the_engine_needs() -> None:
    document, offset = cursor_in("a = <|>\nb")
    request = completion_request(document, offset, max_tokens=9, first_text_ms=40, deadline_ms=70)
    assert (request.prefix, request.suffix, request.num_skipped) == ("a = ", "\nb", 0)
    assert (request.document, request.language) == (name_of(document.uri), "python")
    assert (request.scope, request.max_tokens, request.deadline_ms) == ("auto", 9, 70)


def test_a_request_holds_no_lone_surrogate() -> None:
    document = document_of("a\ud800b", uri="file:///\udc00")
    request = completion_request(document, 3, max_tokens=1, first_text_ms=40, deadline_ms=1)
    assert (request.prefix, request.document) == ("a\ufffdb", "file:/%ED%B0%80")


@given(LONG_LINES, st.data())
def test_a_request_holds_as_much_as_it_may(lengths: list[int], data: st.DataObject) -> None:
    document, offset = _long_document(lengths, data)
    request = completion_request(document, offset, max_tokens=1, first_text_ms=40, deadline_ms=1)
    whole = within_bounds(document.lines.text[:offset], document.lines.text[offset:])
    assert (request.prefix, request.suffix, request.num_skipped) == whole


CLIENT = ClientProfile()


def _menu_item(
    marked: str, text: str, client: ClientProfile = CLIENT, language: str = "python"
) -> CompletionItem:
    document, offset = cursor_in(marked)
    document = replace(document, language_id=language)
    (item,) = completion_list(document, offset, _completion(text), client).items
    return item


def _completion(text: str) -> Completion:
    return Completion(text=text, finish_reason=FinishReason.BLOCK)


def _long_document(lengths: list[int], data: st.DataObject) -> tuple[Document, int]:
    document = document_of("".join("x" * length + "\n" for length in lengths))
    return document, data.draw(st.integers(0, document.lines.num_characters))


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.integers(0, 30))
def test_a_cell_stands_between_the_others(above: str, cell: str, below: str, offset: int) -> None:
    document = document_of(cell)
    offset = min(offset, document.lines.num_characters)
    request = completion_request(
        document,
        offset,
        surroundings=(above, below),
        max_tokens=1,
        first_text_ms=400,
        deadline_ms=1,
    )
    assert request.prefix + request.suffix == above + cell + below
    assert request.num_skipped == 0


def test_of_a_long_notebook_what_is_near_is_kept() -> None:
    above, cell = "a" * MAX_TEXT_CHARACTERS, "b" * 10
    request = completion_request(
        document_of(cell),
        4,
        surroundings=(above, "c" * MAX_TEXT_CHARACTERS),
        max_tokens=1,
        first_text_ms=400,
        deadline_ms=1,
    )
    assert request.prefix.endswith("abbbb")
    assert request.suffix.startswith("bbbbbbc")
    assert len(request.prefix) == len(request.suffix) == MAX_TEXT_CHARACTERS
    assert request.num_skipped + len(request.prefix) == len(above) + 4
