"""Choose experts and weigh them, in operators of their own: for what MoE and QMoE do not know.

All of it is float32.
"""

from collections.abc import Sequence

import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.graph.layers.elementwise import scaled_exactly
from export.spec.routers import AnyRouter, ExpertGroups, Router, ScoredRouter, SparseMixer


def expert_weights(
    graph: GraphBuilder,
    router: AnyRouter,
    logits: Value,
    *,
    correction: Value | None = None,
    expert_scale: Value | None = None,
) -> Value:
    """Return the weight of every expert, zero for those not chosen, in the shape of the logits.

    `correction` and `expert_scale` are what a ScoredRouter learned of each expert.
    """
    match router:
        case ScoredRouter():
            chosen, expert_ids = _scored(graph, router, logits, correction)
            if expert_scale is not None:
                scales = graph.op("Gather", expert_scale, expert_ids, axis=0)
                chosen = graph.op("Mul", chosen, scales)
        case Router():
            chosen, expert_ids = _top(graph, router, graph.op("Softmax", logits, axis=-1))
            if router.renormalize:
                chosen = graph.op("Div", chosen, sum_over_experts(graph, chosen))
        case SparseMixer():
            chosen, expert_ids = _sparsely_mixed(graph, router, logits)
    nothing = graph.op("Mul", logits, _number(graph, 0.0))
    return graph.op("ScatterElements", nothing, expert_ids, chosen, axis=-1)


def sum_over_experts(graph: GraphBuilder, weights: Value) -> Value:
    """Return the sum of the last axis, which stays as one of size one."""
    return graph.op("ReduceSum", weights, graph.constant(np.array([-1], np.int64)), keepdims=1)


def _scored(
    graph: GraphBuilder, router: ScoredRouter, logits: Value, correction: Value | None
) -> tuple[Value, Value]:
    is_softmax = router.score == "softmax"
    scores = graph.op("Softmax", logits, axis=-1) if is_softmax else graph.op("Sigmoid", logits)
    choice = scores if correction is None else graph.op("Add", scores, correction)
    if router.groups is not None:
        choice = _within_groups(graph, router.groups, choice)
    _, expert_ids = _top(graph, router, choice)
    chosen = graph.op("GatherElements", scores, expert_ids, axis=-1)
    if router.renormalize:
        chosen = graph.op("Div", chosen, sum_over_experts(graph, chosen))
    return scaled_exactly(graph, chosen, router.scale), expert_ids


def _within_groups(graph: GraphBuilder, groups: ExpertGroups, choice: Value) -> Value:
    """Return scores of minus infinity for the experts of the groups that are not chosen."""
    split = graph.constant(np.array([-1, groups.num_groups, groups.group_size], np.int64))
    grouped = graph.op("Reshape", choice, split)
    num_best = 1 if groups.score == "best" else 2
    totals = sum_over_experts(graph, _best(graph, grouped, num_best, axis=-1))
    last = graph.op(
        "ReduceMin",
        _best(graph, totals, groups.num_chosen, axis=-2),
        graph.constant(np.array([-2], np.int64)),
        keepdims=1,
    )
    is_chosen = graph.op("GreaterOrEqual", totals, last)
    within = graph.op("Where", is_chosen, grouped, _number(graph, -np.inf))
    return graph.op("Reshape", within, graph.op("Shape", choice))


def _best(graph: GraphBuilder, scores: Value, count: int, *, axis: int) -> Value:
    k = graph.constant(np.array([count], np.int64))
    return graph.ops("TopK", [scores, k], num_outputs=2, attributes={"axis": axis})[0]


def _top(graph: GraphBuilder, router: AnyRouter, scores: Value) -> tuple[Value, Value]:
    k = graph.constant(np.array([router.num_experts_per_tok], np.int64))
    best, expert_ids = graph.ops("TopK", [scores, k], num_outputs=2, attributes={"axis": -1})
    return best, expert_ids


def _sparsely_mixed(graph: GraphBuilder, router: SparseMixer, logits: Value) -> tuple[Value, Value]:
    best, expert_ids = _top(graph, router, logits)
    left, weights = logits, list[Value]()
    for one_best, one_id in zip(_each(graph, best), _each(graph, expert_ids), strict=True):
        near = graph.op("Softmax", _without_far(graph, router, logits, left, one_best), axis=-1)
        weights.append(graph.op("GatherElements", near, one_id, axis=-1))
        nothing = graph.op("Sub", one_best, _number(graph, np.inf))
        left = graph.op("ScatterElements", left, one_id, nothing, axis=-1)
    return graph.op("Concat", *weights, axis=-1), expert_ids


def _without_far(
    graph: GraphBuilder, router: SparseMixer, logits: Value, left: Value, best: Value
) -> Value:
    """Return what is left of the logits, minus infinity where they are far from the best."""
    size = graph.op("Max", graph.op("Abs", logits), best)
    distance = graph.op("Div", graph.op("Sub", best, logits), size)
    is_far = graph.op("Greater", distance, _number(graph, 2 * router.jitter))
    return graph.op("Where", is_far, _number(graph, -np.inf), left)


def _each(graph: GraphBuilder, pair: Value) -> Sequence[Value]:
    return graph.ops("Split", [pair], num_outputs=2, attributes={"axis": -1, "num_outputs": 2})


def _number(graph: GraphBuilder, number: float) -> Value:
    return graph.constant(np.array(number, np.float32))
