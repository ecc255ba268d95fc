"""Texts come, change and go; what is found is what they say now."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.completion import MAX_REMEMBERED_CHARACTERS, owned
from inference.recall import memory
from inference.recall.index import MAX_PLACES, Recalled
from inference.recall.memory import Memory

ENDS_LINE = np.arange(256) == ord("\n")


def opened(**texts: str) -> Memory:
    found = Memory()
    for name, text in texts.items():
        found.remember(name, text)
    found.begin(encode, ENDS_LINE)
    found.wait()
    return found


def encode(text: str) -> list[int]:
    return list(text.encode())


def following(found: Memory, history: str, *, but: str = "") -> str:
    recalled = found.recall(encode(history), but=but)
    return "" if recalled is None else _text(recalled)


def _text(recalled: Recalled) -> str:
    return bytes(recalled.continuation.tolist()).decode()


def test_what_was_written_elsewhere_is_found() -> None:
    assert following(opened(a="total = sum(values)"), "x = sum(") == "values)"


def test_the_text_that_is_edited_is_no_evidence_for_itself() -> None:
    found = opened(a="total = sum(values)")
    assert following(found, "x = sum(", but="a") == ""


def test_a_text_that_changed_says_what_it_says_now() -> None:
    found = opened(a="sum(values)", b="x")
    found.remember("a", "sum(numbers)")
    found.wait()
    assert following(found, "x = sum(") == "numbers)"
    found.remember("a", None)
    found.wait()
    assert following(found, "x = sum(") == ""


def test_what_is_too_long_is_not_taken() -> None:
    assert opened(a="ab" * MAX_REMEMBERED_CHARACTERS).num_tokens == 0


def test_the_oldest_go_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_TOKENS", 20)
    found = opened(a="sum(a)....", b="sum(b)....", c="sum(c)....")
    assert found.num_tokens == 20
    assert following(found, "sum(", but="b") == "c)...."


def about(found: Memory, around: str, *, but: str = "") -> str:
    shown = found.about(encode(around), but=but, max_tokens=1000)
    return " | ".join(bytes(one.token_ids.tolist()).decode() for one in shown)


def test_what_is_about_the_same_is_what_texts_say_now() -> None:
    found = opened(a="wxyz wxyz", b="0123 4567", c="#### ....")
    assert about(found, "xyz") == "wxyz wxyz"
    assert about(found, "xyz", but="a") == ""
    found.remember("a", "!!!! ????")
    found.wait()
    assert about(found, "xyz") == ""
    assert about(found, "!?") == "!!!! ????"


def test_nothing_is_shown_where_nothing_may_be() -> None:
    found = Memory(shows=False)
    found.remember("a", "wxyz")
    found.begin(encode, ENDS_LINE)
    found.wait()
    assert about(found, "xyz") == ""


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.text("xyz", max_size=8))), max_size=12
)


@settings(max_examples=50)
@given(STEPS, st.text("xyz", min_size=2, max_size=4), st.booleans())
def test_it_does_not_matter_in_which_index_a_text_is(
    steps: Sequence[tuple[str, str | None]], history: str, in_one: bool
) -> None:
    found, texts = opened(), dict[str, str]()
    least = 0 if in_one else memory.MIN_FRESH
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "MIN_FRESH", least)
        for name, text in steps:
            texts.pop(name, None)
            if text is None:
                found.remember(name, None)
            else:
                found.remember(name, text)
                texts[name] = text
            found.wait()
    told = found.recall(encode(history), but="")
    anew = opened(**texts).recall(encode(history), but="")
    assert (told is None) == (anew is None)
    if told is not None and anew is not None:
        assert told.num_matched == anew.num_matched


def test_what_somebody_else_wrote_is_no_evidence() -> None:
    found = opened(**{owned("ann", "a"): "sum(hers)", owned("bob", "a"): "sum(his)", "a": "sum(x)"})
    assert following(found, "y = sum(", but=owned("ann", "b")) == "hers)"
    assert following(found, "y = sum(", but=owned("bob", "b")) == "his)"
    assert following(found, "y = sum(", but=owned("eve", "b")) == ""
    assert following(found, "y = sum(", but="b") == "x)"


def test_however_much_somebody_else_wrote_ones_own_is_found() -> None:
    theirs = {owned("eve", "a"): "sum(hers) " * (MAX_PLACES + 1)}
    found = opened(**{owned("ann", "a"): "sum(mine)", **theirs})
    assert following(found, "y = sum(", but=owned("ann", "b")) == "mine)"
