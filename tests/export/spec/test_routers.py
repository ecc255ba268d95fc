"""routers: who is chosen and how much each counts, on logits that can be followed by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from export.spec.routers import (
    AnyRouter,
    ExpertGroups,
    Learned,
    Router,
    ScoredRouter,
    choose_experts,
)

LOGITS = np.log([1.0, 2.0, 3.0, 4.0])


def scored(**changes: object) -> ScoredRouter:
    values: dict[str, object] = {
        "num_experts_per_tok": 2,
        "score": "softmax",
        "renormalize": False,
        "scale": 1.0,
        "correction": False,
        "groups": None,
    }
    return ScoredRouter(**(values | changes))  # pyright: ignore[reportArgumentType]


def check(
    router: AnyRouter, *, gives: dict[int, float], correction: Sequence[float] = (0, 0, 0, 0)
) -> None:
    """`gives` are the chosen experts, the best first, and their weights."""
    ids, weights = choose_experts(router, LOGITS[None], Learned(correction=np.array(correction)))
    assert ids[0].tolist() == list(gives)
    assert weights[0].tolist() == pytest.approx(list(gives.values()))


def test_the_share_of_all() -> None:
    check(Router(num_experts_per_tok=2, renormalize=False), gives={3: 0.4, 2: 0.3})


def test_the_share_of_the_chosen() -> None:
    check(Router(num_experts_per_tok=2, renormalize=True), gives={3: 4 / 7, 2: 3 / 7})


def test_a_scale() -> None:
    check(scored(scale=2.5), gives={3: 1.0, 2: 0.75})


def test_a_scale_comes_after_the_share_of_the_chosen() -> None:
    check(scored(scale=7.0, renormalize=True), gives={3: 4.0, 2: 3.0})


def test_a_sigmoid() -> None:
    check(scored(score="sigmoid"), gives={3: 4 / 5, 2: 3 / 4})


def test_a_correction_chooses_but_does_not_weigh() -> None:
    check(scored(correction=True), correction=(0.5, 0, 0, 0), gives={0: 0.1, 3: 0.4})


def test_a_scale_of_each_expert() -> None:
    router = scored(renormalize=True, expert_scale=True)
    learned = Learned(expert_scale=np.array([1.0, 1.0, 2.0, 3.0]))
    ids, weights = choose_experts(router, LOGITS[None], learned)
    assert ids[0].tolist() == [3, 2]
    assert weights[0].tolist() == pytest.approx([4 / 7 * 3, 3 / 7 * 2])


def test_the_group_with_the_best_expert() -> None:
    groups = ExpertGroups(num_groups=2, group_size=2, num_chosen=1, score="best")
    check(scored(groups=groups, correction=True), correction=(0.5, 0, 0, 0), gives={0: 0.1, 1: 0.2})


def test_the_group_with_the_best_two() -> None:
    groups = ExpertGroups(num_groups=2, group_size=2, num_chosen=1, score="best_two")
    check(
        scored(groups=groups, correction=True), correction=(0.35, 0, 0, 0), gives={3: 0.4, 2: 0.3}
    )
