"""What a prompt cuts a document into stands still while one types, and moves in strides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.decoding.layout import (
    Hole,
    Layout,
    anchor_before,
    fresh_layout,
    is_like,
)
from inference.decoding.prompt import whole_prompt
from inference.fim import FimTemplate

P, S, M = 1000, 1001, 1002
LINES = "".join(f"line {number} = {number * 7919 % 1000}\n" for number in range(200))


def encode(text: str, *, is_beginning: bool = False) -> list[int]:
    return [ord(character) for character in text]


def anchored(num_tail_tokens: int) -> FimTemplate:
    return FimTemplate(
        order="psm",
        prefix_token_id=P,
        suffix_token_id=S,
        middle_token_id=M,
        num_tail_tokens=num_tail_tokens,
    )


def prompt(hole: Hole, layout: Layout, fim: FimTemplate) -> str:
    names = {P: "<P>", S: "<S>", M: "<M>"}
    token_ids = whole_prompt(hole, layout, fim, encode)
    return "".join(names.get(token_id) or chr(token_id) for token_id in token_ids)


def check(prefix: str, suffix: str, *, tail: int, gives: str, max_tokens: int = 99) -> None:
    hole, fim = Hole(prefix=prefix, suffix=suffix), anchored(tail)
    layout = fresh_layout(hole, fim, encode, max_tokens=max_tokens)
    assert prompt(hole, layout, fim) == gives


def test_a_short_prefix_is_all_tail() -> None:
    check("a\nb", "c", tail=4, gives="<P><S>c<M>a\nb")


def test_the_anchor_is_a_lines_start() -> None:
    check(
        "first line\nsecond line\nthird",
        "c",
        tail=2,
        gives="<P>first line\n<S>c<M>second line\nthird",
    )


def test_without_a_tail_it_is_the_usual_order() -> None:
    check("a\nb", "c", tail=0, gives="<P>a\nb<S>c<M>")


@given(st.integers(1, 40), st.integers(0, len(LINES)), st.integers(0, 60))
def test_a_tail_has_its_length_if_the_prefix_has(tail: int, end: int, typed: int) -> None:
    hole = Hole(prefix=LINES[:end] + "y" * typed, suffix="")
    anchor = anchor_before(hole, tail, 0)
    assert anchor == 0 or LINES[anchor - 1] == "\n"
    assert anchor == 0 or 4 * tail <= hole.cursor - anchor <= 8 * tail + 4 + 20 + typed


@given(st.integers(0, 60), st.integers(8, 40))
def test_while_one_types_an_anchor_moves_in_strides(typed: int, tail: int) -> None:
    anchors = [
        anchor_before(Hole(prefix=LINES[:1500] + "y" * length, suffix=""), tail, 0)
        for length in range(typed)
    ]
    assert len(set(anchors)) <= 2 + typed // (4 * tail)


@pytest.mark.parametrize("tail", [0, 16])
def test_a_layout_goes_on_behind_what_is_typed_and_shows_it(tail: int) -> None:
    before, fim = Hole(prefix=LINES[:1000], suffix="end\n" * 20), anchored(tail)
    layout = fresh_layout(before, fim, encode, max_tokens=400)
    after = Hole(prefix=LINES[:1000] + "typed", suffix=before.suffix)
    assert layout.can_go_on(after, encode)
    shown, longer = prompt(before, layout, fim), prompt(after, layout, fim)
    assert longer == (shown + "typed" if tail else shown.replace("<S>", "typed<S>"))


@pytest.mark.parametrize(
    "hole",
    [
        Hole(prefix="x", suffix="end\n" * 20),
        Hole(prefix=LINES[:1000], suffix="other\n" * 20),
        Hole(prefix=LINES[990:1000], suffix="end\n" * 20, num_skipped=990),
    ],
    ids=["before it", "another suffix", "its beginning is not sent"],
)
def test_a_layout_does_not_go_on_elsewhere(hole: Hole) -> None:
    before = Hole(prefix=LINES[:1000], suffix="end\n" * 20)
    layout = fresh_layout(before, anchored(16), encode, max_tokens=400)
    assert not layout.can_go_on(hole, encode)


SUFFIX = "".join(map(chr, range(0x4E00, 0x4E00 + 60)))


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (SUFFIX, True),
        (SUFFIX[:10] + "xyz" + SUFFIX[13:], True),
        (SUFFIX[:10] + "vwxyz" + SUFFIX[15:], False),
        ("x" + SUFFIX, False),
        (SUFFIX + "more", True),
        ("", False),
    ],
)
def test_a_suffix_is_frozen_while_it_begins_like_it(suffix: str, *, expected: bool) -> None:
    assert is_like(encode(SUFFIX), suffix, encode) is expected


def test_no_suffix_is_like_no_suffix_alone() -> None:
    assert is_like([], "", encode)
    assert not is_like([], "a", encode)


@pytest.mark.parametrize(
    ("suffix", "shown"),
    [
        (")\nx", "\nx"),
        ("):\nx", "\nx"),
        ("\nx", "\nx"),
        ("a)\nx", "a)\nx"),
        (")", ")"),
        ('"])\nx', "\nx"),
    ],
)
def test_what_an_editor_closed_is_not_shown(suffix: str, shown: str) -> None:
    """So that typing a bracket, or over one, leaves what was read as it is."""
    assert Hole(prefix="f(", suffix=suffix).lasting_suffix == shown
