"""What of other texts is about the same as a place."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import owned
from inference.recall.index import TokenIds
from inference.recall.snippets import SNIPPET_TOKENS, Snippets, cut

ENDS_LINE = np.arange(256) == ord("\n")
COMMON = "for index in range(10):\n    value = index\n"
FILLER = COMMON * 3


def tokens(text: str) -> TokenIds:
    return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


def check(
    texts: Mapping[str, str],
    around: str,
    *,
    shows: Sequence[str],
    but: str = "",
    owner: str = "",
    max_tokens: int = 1000,
) -> None:
    """`shows` are the names, in their order."""
    snippets = Snippets({name: cut(tokens(text), ENDS_LINE) for name, text in texts.items()})
    around_ids = list(around.encode())
    found = snippets.about(around_ids, but={but}, owner=owner, max_tokens=max_tokens)
    assert [snippet.name for snippet in found] == shows
    assert sum(len(snippet.token_ids) for snippet in found) <= max_tokens


TEXTS = {"a": "WXYZ = 1\n", "b": "WX = 2\n", "c": "0123\n", "d": FILLER}


@pytest.mark.parametrize(
    ("around", "shows"),
    [("YZ", ["a"]), ("WXYZ", ["b", "a"]), ("", []), ("~", [])],
    ids=["one", "the best last", "nothing around", "nothing in common"],
)
def test_what_shares_rare_tokens_is_shown(around: str, shows: Sequence[str]) -> None:
    check(TEXTS, around, shows=shows)


def test_the_text_itself_is_not_shown() -> None:
    check(TEXTS, "WXYZ", but="a", shows=["b"])


def test_what_is_somebody_elses_is_not_shown() -> None:
    texts = {owned("me", "a"): "WXYZ", owned("you", "a"): "WXYZ", "b": FILLER}
    check(texts, "WXYZ", owner="me", shows=[owned("me", "a")])


def test_no_more_is_shown_than_there_is_room_for() -> None:
    long = ("WXYZ" + "." * 40 + "\n") * 40
    check({"a": long, "b": FILLER}, "WXYZ", max_tokens=300, shows=["a"])
    check({"a": long, "b": FILLER}, "WXYZ", max_tokens=20, shows=[])


def test_nothing_is_said_of_no_texts() -> None:
    check({}, "WXYZ", shows=[])
    check({"a": ""}, "WXYZ", shows=[])


@given(st.text("ab\n", max_size=1000))
def test_snippets_are_the_text_in_pieces_that_end_with_a_line(text: str) -> None:
    found = cut(tokens(text), ENDS_LINE)
    assert found.edges[0] == 0
    assert found.edges[-1] == len(text)
    for start, end in zip(found.edges, found.edges[1:], strict=False):
        size = end - start
        assert 0 < size <= 2 * SNIPPET_TOKENS
        assert size >= SNIPPET_TOKENS or end == len(text)
        assert text[end - 1] == "\n" or end == len(text) or size == 2 * SNIPPET_TOKENS
    assert found.num_distinct.sum() == len(found.distinct)
