"""fim: both orders, token by token."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.fim import FimOrder, FimTemplate

PREFIX, SUFFIX, MIDDLE = 101, 102, 103


def template(order: FimOrder) -> FimTemplate:
    return FimTemplate(
        order=order, prefix_token_id=PREFIX, suffix_token_id=SUFFIX, middle_token_id=MIDDLE
    )


def check(order: FimOrder, prefix: list[int], suffix: list[int], *, gives: list[int]) -> None:
    assert template(order).arrange(prefix, suffix) == gives


def test_psm_puts_the_suffix_behind_the_prefix() -> None:
    check("psm", [1, 2], [8, 9], gives=[PREFIX, 1, 2, SUFFIX, 8, 9, MIDDLE])


def test_spm_puts_the_prefix_last() -> None:
    check("spm", [1, 2], [8, 9], gives=[PREFIX, SUFFIX, 8, 9, MIDDLE, 1, 2])


def test_the_suffix_may_come_first() -> None:
    check("suffix_prefix", [1, 2], [8, 9], gives=[SUFFIX, 8, 9, PREFIX, 1, 2, MIDDLE])


def test_a_convention_may_have_no_middle() -> None:
    without = msgspec.structs.replace(template("suffix_prefix"), middle_token_id=None)
    assert without.arrange([1, 2], [8, 9]) == [SUFFIX, 8, 9, PREFIX, 1, 2]
    assert (without.num_special_tokens, without.special_token_ids) == (2, {PREFIX, SUFFIX})


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_an_order_that_needs_a_middle(order: FimOrder) -> None:
    with pytest.raises(ValueError, match="needs a middle_token_id"):
        FimTemplate(order=order, prefix_token_id=1, suffix_token_id=2, middle_token_id=None)


def test_psm_without_a_suffix_keeps_its_marks() -> None:
    check("psm", [1], [], gives=[PREFIX, 1, SUFFIX, MIDDLE])


def test_spm_without_a_suffix_keeps_its_marks() -> None:
    check("spm", [1], [], gives=[PREFIX, SUFFIX, MIDDLE, 1])


@pytest.mark.parametrize(
    ("files", "repository", "gives"),
    [
        ([], [], [6, 50]),
        ([[1, 2], [3]], [], [6, 1, 2, 6, 3, 6, 50]),
        ([[1]], [40], [5, 40, 6, 1, 6, 50]),
    ],
    ids=["none", "two", "of a repository"],
)
def test_other_files_stand_before_the_own_name(
    files: list[list[int]], repository: list[int], gives: list[int]
) -> None:
    shown = msgspec.structs.replace(
        template("psm"), repo_name_token_id=5, file_separator_token_id=6
    )
    assert shown.other_files(files, [50], repository) == gives


def test_psm_in_an_empty_file() -> None:
    check("psm", [], [], gives=[PREFIX, SUFFIX, MIDDLE])


def test_spm_in_an_empty_file() -> None:
    check("spm", [], [], gives=[PREFIX, SUFFIX, MIDDLE])


TOKEN_IDS = st.lists(st.integers(0, 100))
ORDERS = st.sampled_from(["psm", "spm", "suffix_prefix"])


@given(ORDERS, TOKEN_IDS, TOKEN_IDS)
def test_every_token_is_there_once_and_the_marks_are_counted(
    order: FimOrder, prefix: list[int], suffix: list[int]
) -> None:
    prompt = template(order).arrange(prefix, suffix)
    assert sorted(prompt) == sorted([*prefix, *suffix, PREFIX, SUFFIX, MIDDLE])
    num_special_tokens = template(order).num_special_tokens
    assert len(prompt) == len(prefix) + len(suffix) + num_special_tokens


@given(TOKEN_IDS, TOKEN_IDS, st.integers(0, 100))
def test_in_spm_order_a_typed_token_costs_itself_only(
    prefix: list[int], suffix: list[int], typed: int
) -> None:
    before = template("spm").arrange(prefix, suffix)
    assert template("spm").arrange([*prefix, typed], suffix) == [*before, typed]


def test_every_mark_is_special_and_absent_ones_are_not() -> None:
    full = FimTemplate(
        order="psm",
        prefix_token_id=1,
        suffix_token_id=2,
        middle_token_id=3,
        pad_token_id=4,
        repo_name_token_id=5,
        file_separator_token_id=6,
    )
    assert full.special_token_ids == {1, 2, 3, 4, 5, 6}
    assert template("psm").special_token_ids == {PREFIX, SUFFIX, MIDDLE}


def test_token_id_zero_is_special_too() -> None:
    padded = msgspec.structs.replace(template("psm"), pad_token_id=0)
    assert 0 in padded.special_token_ids


def test_an_order_that_nobody_trained_is_refused() -> None:
    fields = {**msgspec.to_builtins(template("psm")), "order": "msp"}
    with pytest.raises(msgspec.ValidationError, match="msp"):
        msgspec.convert(fields, FimTemplate)
