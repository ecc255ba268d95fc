"""Ways to choose a token's experts and to weigh them: which there are, and what they compute.

This module knows no model family, no checkpoint and no graph.
"""

from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """Softmax over all experts, then the best `num_experts_per_tok`.

    `renormalize` scales the weights of the chosen ones to a sum of one. `bias` is added to the
    logits.
    """

    num_experts_per_tok: int
    renormalize: bool
    bias: bool = False


class ExpertGroups(msgspec.Struct, frozen=True, kw_only=True):
    """Only experts of the `num_chosen` best groups can be chosen (arXiv:2405.04434, 2.2.2).

    A group is as good as its best expert, or as its best two together.
    """

    num_groups: int
    group_size: int
    num_chosen: int
    score: Literal["best", "best_two"]


class ScoredRouter(msgspec.Struct, frozen=True, kw_only=True):
    """The best `num_experts_per_tok` by score, each weighted by its score times `scale`.

    A `correction` is learned for each expert: it is added to the scores for choosing, not for
    weighing (arXiv:2408.15664). `renormalize` scales the weights to a sum of one before `scale`.
    `expert_scale`: each weight is then multiplied by a number learned for its expert.
    """

    num_experts_per_tok: int
    score: Literal["softmax", "sigmoid"]
    renormalize: bool
    scale: float
    correction: bool
    groups: ExpertGroups | None
    expert_scale: bool = False
    bias: Literal[False] = False


class SparseMixer(msgspec.Struct, frozen=True, kw_only=True):
    """The best two experts, each weighted against those that come near it (arXiv:2409.12136).

    The first one's weight is its softmax over the experts whose logit l has
    (best - l) / max(|l|, best) <= 2 * jitter; the second one's is the same without the first.
    """

    jitter: float
    num_experts_per_tok: Literal[2] = 2
    bias: Literal[False] = False


AnyRouter = Router | ScoredRouter | SparseMixer


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What a router learned of each expert beside its matrix: see ScoredRouter."""

    correction: Array | None = None
    expert_scale: Array | None = None


NOTHING_LEARNED: Final = Learned()


def choose_experts(
    router: AnyRouter, logits: Array, learned: Learned = NOTHING_LEARNED
) -> tuple[Integers, Array]:
    """Return the chosen experts and their weights, both [num_tokens, num_experts_per_tok]."""
    match router:
        case Router():
            return _by_softmax(router, logits)
        case ScoredRouter():
            return _by_score(router, logits, learned)
        case SparseMixer():
            return _mixed_sparsely(router, logits)


def _by_softmax(router: Router, logits: Array) -> tuple[Integers, Array]:
    scores = _softmax(logits)
    expert_ids = _best(scores, router.num_experts_per_tok)
    weights = np.take_along_axis(scores, expert_ids, axis=-1)
    if router.renormalize:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    return expert_ids, weights


def _by_score(router: ScoredRouter, logits: Array, learned: Learned) -> tuple[Integers, Array]:
    scores = _softmax(logits) if router.score == "softmax" else 1.0 / (1.0 + np.exp(-logits))
    choice = scores if learned.correction is None else scores + learned.correction
    if router.groups is not None:
        choice = _within_groups(router.groups, choice)
    expert_ids = _best(choice, router.num_experts_per_tok)
    weights = np.take_along_axis(scores, expert_ids, axis=-1)
    if router.renormalize:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    if learned.expert_scale is not None:
        weights = weights * learned.expert_scale[expert_ids]
    return expert_ids, weights * router.scale


def _within_groups(groups: ExpertGroups, choice: Array) -> Array:
    """Return scores of minus infinity for the experts of the groups that are not chosen."""
    grouped = choice.reshape(-1, groups.num_groups, groups.group_size)
    num_best = 1 if groups.score == "best" else 2
    totals = np.sort(grouped, axis=-1)[..., -num_best:].sum(axis=-1)
    is_chosen = np.zeros(totals.shape, np.bool_)
    np.put_along_axis(is_chosen, _best(totals, groups.num_chosen), values=True, axis=-1)
    return np.where(is_chosen[..., None], grouped, -np.inf).reshape(choice.shape)


def _mixed_sparsely(router: SparseMixer, logits: Array) -> tuple[Integers, Array]:
    expert_ids = _best(logits, router.num_experts_per_tok)
    left, weights = logits, list[Array]()
    for ids in np.split(expert_ids, router.num_experts_per_tok, axis=-1):
        best = np.take_along_axis(left, ids, axis=-1)
        is_far = (best - logits) / np.maximum(np.abs(logits), best) > 2 * router.jitter
        near = _softmax(np.where(is_far, -np.inf, left))
        weights.append(np.take_along_axis(near, ids, axis=-1))
        left = left.copy()
        np.put_along_axis(left, ids, -np.inf, axis=-1)
    return expert_ids, np.concatenate(weights, axis=-1)


def _best(scores: Array, count: int) -> Integers:
    return np.argsort(-scores, axis=-1, kind="stable")[..., :count]


def _softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
