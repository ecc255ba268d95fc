"""tensors: names are assigned to slots exactly once, or the first difference is named."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.checkpoint.plan import Plan, Rule, Share, given_back, plan, stored_shape, taken
from export.errors import CheckpointError
from export.spec.slot import Slot

RULES = (
    Rule("embed", "embedding"),
    Rule("head", "head"),
    Rule("layers.{layer}.norm", "layers.{layer}.norm"),
    Rule("layers.{layer}.experts.{expert}.up", "layers.{layer}.moe.up", stack="expert"),
)
SLOTS = {
    "embedding": Slot(shape=(8, 4), role="embedding"),
    "layers.0.norm": Slot(shape=(4,), role="norm"),
    "layers.0.moe.up": Slot(shape=(3, 2, 4), role="expert"),
}
NAMES = ("embed", "layers.0.norm", *(f"layers.0.experts.{index}.up" for index in range(3)))


def assign(names: Sequence[str]) -> Plan:
    return plan(RULES, names, SLOTS, aliases={"head": "embedding"})


def check_refused(names: Sequence[str], because: str) -> None:
    with pytest.raises(CheckpointError, match=because):
        assign(names)


@given(names=st.permutations(NAMES))
def test_every_slot_gets_its_tensors_in_order_whatever_the_order_of_names(names: list[str]) -> None:
    assert assign(names).parts == {
        "embedding": ("embed",),
        "layers.0.norm": ("layers.0.norm",),
        "layers.0.moe.up": tuple(f"layers.0.experts.{index}.up" for index in range(3)),
    }


@given(missing=st.sampled_from(NAMES))
def test_a_missing_tensor_is_never_overlooked(missing: str) -> None:
    check_refused([name for name in NAMES if name != missing], "the checkpoint has no tensor for")


@given(surplus=st.text("layersnormexpup.0123456789", min_size=1, max_size=24))
def test_a_surplus_tensor_is_never_overlooked(surplus: str) -> None:
    if surplus not in NAMES:
        check_refused([*NAMES, surplus], "has no place in this model")


def test_a_missing_expert_is_named() -> None:
    names = [name for name in NAMES if name != "layers.0.experts.1.up"]
    check_refused(names, r"no tensor for layers\.0\.moe\.up \(part 1 of 3\)")


def test_an_expert_too_many_is_named() -> None:
    check_refused([*NAMES, "layers.0.experts.3.up"], r"experts\.3\.up has no place .* takes 3")


def test_a_layer_too_many_is_named() -> None:
    check_refused([*NAMES, "layers.1.norm"], r"layers\.1\.norm has no place")


def test_one_number_has_one_spelling() -> None:
    check_refused([*NAMES, "layers.00.norm"], r"layers\.00\.norm has no place")


def test_dots_in_a_pattern_are_only_dots() -> None:
    check_refused([*NAMES, "layers.0xnorm"], "has no place")


def test_a_tied_tensor_stored_twice_is_a_copy() -> None:
    assert assign([*NAMES, "head"]).copies == {"head": "embedding"}


def test_two_rules_for_one_slot_are_refused() -> None:
    rules = (*RULES, Rule("embedding", "embedding"))
    with pytest.raises(CheckpointError, match="embed and embedding are the same one"):
        plan(rules, [*NAMES, "embedding"], SLOTS, aliases={})


def test_the_names_of_a_large_checkpoint() -> None:
    slots = {
        f"layers.{layer}.moe.up": Slot(shape=(128, 2, 4), role="expert") for layer in range(12)
    }
    names = [f"layers.{layer}.experts.{expert}.up" for layer in range(12) for expert in range(128)]
    parts = plan(RULES, sorted(names), slots, aliases={}).parts
    assert parts["layers.11.moe.up"][100] == "layers.11.experts.100.up"


def check_taken(rule: Rule, stored: tuple[int, ...], *, gives: list[int]) -> None:
    """`stored` counts up from zero; `gives` is what a slot of two experts takes of the first."""
    values = np.arange(np.prod(stored), dtype=np.float32).reshape(stored)
    found = taken(rule, values)
    assert stored_shape(rule, found.shape) == stored
    assert found[0].ravel().tolist() == gives


def test_halves_behind_each_other() -> None:
    share = Share(axis=1, index=1)
    check_taken(Rule("a", "b", share=share), (2, 4, 2), gives=[4, 5, 6, 7])


def test_halves_in_turn() -> None:
    share = Share(axis=1, index=1, num_groups=None)
    check_taken(Rule("a", "b", share=share), (2, 4, 2), gives=[2, 3, 6, 7])


def test_halves_in_turn_of_a_transposed_matrix() -> None:
    share = Share(axis=1, index=0, num_groups=None)
    check_taken(Rule("a", "b", share=share, transposed=True), (2, 2, 4), gives=[0, 4, 2, 6])


def test_parts_of_several_sizes() -> None:
    share = Share(axis=1, index=1, sizes=(2, 1, 1))
    check_taken(Rule("a", "b", share=share), (2, 8, 1), gives=[4, 5])


def test_parts_of_several_sizes_in_each_group() -> None:
    share = Share(axis=1, index=0, sizes=(2, 1, 1), num_groups=2)
    check_taken(Rule("a", "b", share=share), (2, 8, 1), gives=[0, 1, 4, 5])


def test_what_is_taken_of_a_tensor_is_given_back() -> None:
    whole = np.arange(48, dtype=np.float32).reshape(16, 3)
    for num_groups in (1, 2, 4, None):
        rules = [
            Rule("a", "b", share=Share(axis=0, index=index, sizes=(2, 1, 1), num_groups=num_groups))
            for index in range(3)
        ]
        parts = [(rule, taken(rule, whole)) for rule in rules]
        np.testing.assert_array_equal(given_back(rules[0], parts), whole)


def test_columns_of_length_one() -> None:
    stored = np.array([[3.0, 0.0], [4.0, 2.0]], np.float32)
    rule = Rule("a", "b", unit_columns=True)
    found = taken(rule, stored)
    np.testing.assert_allclose(found, [[0.6, 0.0], [0.8, 1.0]], atol=1e-6)
    np.testing.assert_allclose(taken(rule, found), found, atol=1e-6)  # so it has a way back


def test_a_first_axis_of_one() -> None:
    check_taken(Rule("a", "b", has_leading_one=True), (1, 2, 3), gives=[0, 1, 2])


def test_one_tensor_fills_several_slots() -> None:
    halves = [
        Rule("both", slot, share=Share(axis=0, index=index))
        for index, slot in enumerate(("first", "second"))
    ]
    slots = {slot: Slot(shape=(2, 4), role="projection") for slot in ("first", "second")}
    assigned = plan(halves, ["both"], slots, aliases={})
    assert assigned.parts == {"first": ("both",), "second": ("both",)}
    assert assigned.rules == dict(zip(slots, halves, strict=True))
