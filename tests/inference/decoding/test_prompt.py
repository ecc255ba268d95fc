"""A prompt keeps its budget, and its beginning stays put while one types."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.decoding.layout import Hole, fresh_layout
from inference.decoding.prompt import open_prompt, whole_prompt
from inference.fim import FimOrder, FimTemplate

P, S, M = 1000, 1001, 1002


def template(order: FimOrder) -> FimTemplate:
    return FimTemplate(order=order, prefix_token_id=P, suffix_token_id=S, middle_token_id=M)


def encode(text: str, *, is_beginning: bool = False) -> list[int]:
    return [ord(character) for character in text]


def whole(hole: Hole, fim: FimTemplate | None, *, max_tokens: int) -> list[int]:
    layout = fresh_layout(hole, fim, encode, max_tokens=max_tokens)
    return whole_prompt(hole, layout, fim, encode)


def check(
    prefix: str, suffix: str, *, fim: FimOrder | None, gives: list[int | str], max_tokens: int = 99
) -> None:
    expected = [
        token_id
        for part in gives
        for token_id in (encode(part) if isinstance(part, str) else [part])
    ]
    hole = Hole(prefix=prefix, suffix=suffix)
    found = whole(hole, template(fim) if fim else None, max_tokens=max_tokens)
    assert found == expected


def test_psm_ends_with_the_middle_token() -> None:
    check("ab", "c", fim="psm", gives=[P, "ab", S, "c", M])


def test_spm_ends_with_the_prefix() -> None:
    check("ab", "c", fim="spm", gives=[P, S, "c", M, "ab"])


def test_an_empty_file_still_has_a_prompt() -> None:
    check("", "", fim="spm", gives=[P, S, M])


def test_without_a_template_the_suffix_is_not_shown() -> None:
    check("ab", "c", fim=None, gives=["ab"])


def test_a_long_suffix_keeps_its_beginning() -> None:
    check("ab", "cdefghij", fim="psm", gives=[P, "ab", S, "cd", M], max_tokens=11)


def test_a_long_prefix_loses_its_beginning_in_strides() -> None:
    check("abcdefghij", "", fim="spm", gives=[P, S, M, "cdefghij"], max_tokens=11)


@pytest.mark.parametrize("order", ["psm", "spm", "suffix_prefix"])
@given(st.text(max_size=300), st.text(max_size=300), st.integers(3, 80))
def test_a_prompt_never_exceeds_its_budget(
    order: FimOrder, prefix: str, suffix: str, max_tokens: int
) -> None:
    hole = Hole(prefix=prefix, suffix=suffix)
    found = whole(hole, template(order), max_tokens=max_tokens)
    assert 3 <= len(found) <= max_tokens
    assert sorted(found)[-3:] == [P, S, M] or max(map(ord, prefix + suffix), default=0) >= P


def check_open(prefix: str, *, fim: FimOrder | None, shows: str, holds: str | None) -> None:
    """Every token but a digit can be healed."""
    hole, shown = Hole(prefix=prefix, suffix=""), template(fim) if fim else None
    found = open_prompt(
        hole,
        fresh_layout(hole, shown, encode, max_tokens=99),
        shown,
        encode,
        can_heal=lambda token_id: not chr(token_id).isdigit(),
    )
    layout = {P, S, M}
    assert [token_id for token_id in found.token_ids if token_id not in layout] == encode(shows)
    assert found.held_back == (ord(holds) if holds else None)


def test_the_last_token_is_held_back() -> None:
    check_open("abc", fim="spm", shows="ab", holds="c")


def test_a_token_that_cannot_be_healed_is_shown() -> None:
    check_open("ab1", fim="psm", shows="ab1", holds=None)


def test_nothing_is_held_back_of_an_empty_prefix() -> None:
    check_open("", fim="spm", shows="", holds=None)


def test_one_token_may_be_held_back_where_a_layout_remains() -> None:
    check_open("a", fim="spm", shows="", holds="a")


def test_the_only_token_is_shown_where_no_layout_remains() -> None:
    check_open("a", fim=None, shows="a", holds=None)


@pytest.mark.parametrize("num_sent", [10_000, 3_300], ids=["all", "what a request may hold"])
def test_typing_moves_the_beginning_of_a_long_prompt_seldom(num_sent: int) -> None:
    text = "".join(f"line {number} = {number * 7919 % 1000}\n" for number in range(400))
    holes = [
        Hole(prefix=text[:end][-num_sent:], suffix="", num_skipped=max(0, end - num_sent))
        for end in range(3500, 4500)
    ]
    prompts = [whole(hole, template("spm"), max_tokens=400) for hole in holes]
    kept = sum(new[: len(old)] == old for old, new in itertools.pairwise(prompts))
    assert kept >= 985  # of 999 keystrokes; each of the others reads the prompt afresh
