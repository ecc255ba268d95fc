"""A context is shared between reading and writing, and what is read keeps its edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import MAX_TEXT_CHARACTERS, within_bounds
from inference.decoding.budget import (
    MAX_CHARACTERS_PER_TOKEN,
    MAX_PROMPT_TOKENS,
    Budget,
    budget_for,
    nearby_prefix,
    num_surplus,
    suffix_tokens,
)


def encode(text: str, *, is_beginning: bool = False) -> list[int]:
    return [ord(character) for character in text]


@pytest.mark.parametrize(
    ("context_length", "wanted", "max_prompt", "max_new"),
    [
        (4096, 64, 2048, 64),
        (2048, 64, 1984, 64),
        (2048, 512, 1536, 512),
        (512, 64, 448, 64),
        (512, 512, 384, 128),
        (128, 512, 96, 32),
        (2, 512, 1, 1),
        (1, 1, 1, 1),
    ],
)
def test_writing_is_cut_before_reading_is(
    context_length: int, wanted: int, max_prompt: int, max_new: int
) -> None:
    assert budget_for(context_length, wanted) == Budget(max_prompt, max_new)


@given(st.integers(4, 40_000), st.integers(1, 512))
def test_reading_keeps_three_quarters_of_a_small_context(context_length: int, wanted: int) -> None:
    budget = budget_for(context_length, wanted)
    assert budget.max_prompt + budget.max_new <= context_length
    assert budget.max_prompt >= min(MAX_PROMPT_TOKENS, context_length * 3 // 4)


def test_a_short_text_is_shown_whole() -> None:
    assert nearby_prefix("a\nb", 9, 0) == "a\nb"
    assert suffix_tokens("a\nb", encode, max_tokens=9) == encode("a\nb")


def test_a_long_prefix_begins_at_a_line() -> None:
    assert nearby_prefix("0123456789\n" * 100, 10, 0).startswith("0123")


def test_one_endless_line_is_cut_inside() -> None:
    assert 0 < len(nearby_prefix("x" * 10_000, 10, 0)) <= 10 * MAX_CHARACTERS_PER_TOKEN


@given(st.text(alphabet="ab\n", max_size=400), st.integers(1, 20), st.integers(0, 300))
def test_what_is_near_is_an_end_of_the_prefix_and_a_beginning_of_the_suffix(
    text: str, max_tokens: int, num_skipped: int
) -> None:
    found = nearby_prefix(text, max_tokens, num_skipped)
    assert text.endswith(found)
    assert len(found) <= max_tokens * MAX_CHARACTERS_PER_TOKEN
    assert suffix_tokens(text, encode, max_tokens=max_tokens) == encode(text)[:max_tokens]


@given(st.integers(0, 500), st.integers(1, 100))
def test_a_surplus_is_left_out_in_strides(num_tokens: int, max_tokens: int) -> None:
    left_out = num_surplus(num_tokens, max_tokens)
    assert num_tokens - left_out <= max_tokens
    assert num_surplus(num_tokens, num_tokens + 1) == 0
    assert left_out % max(1, max_tokens // 4) == 0


@given(st.integers(0, 200), st.integers(0, 2_000))
def test_what_a_caller_cuts_away_moves_no_edge(line_length: int, typed: int) -> None:
    """The whole text and what a request may hold of it are shown from the same place on."""
    line = "x" * line_length + "\n"
    text = line * ((MAX_TEXT_CHARACTERS + 20_000) // len(line)) + "y" * typed
    prefix, _, num_skipped = within_bounds(text, "")
    assert nearby_prefix(prefix, 2_048, num_skipped) == nearby_prefix(text, 2_048, 0)
