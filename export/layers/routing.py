"""Choose experts and weigh them, in operators of their own: for what MoE and QMoE do not know."""

from collections.abc import Sequence

import numpy as np

from export.graph import GraphBuilder, Value
from export.spec import Router, SparseMixer


def expert_weights(graph: GraphBuilder, router: Router | SparseMixer, logits: Value) -> Value:
    """Return the weight of every expert, zero for those not chosen, in the shape of the logits."""
    match router:
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


def _top(graph: GraphBuilder, router: Router | SparseMixer, scores: Value) -> tuple[Value, Value]:
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
