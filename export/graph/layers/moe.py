"""Mixture of experts: router logits in float32, then one operator for all experts.

              ┌─► router ─► logits ───────────────┐
    x ────────┤               └─► own weights ──┐ │    (where the chosen ones are not renormalized)
              └──────────────────────────────► MoE / QMoE

QMoE on CPU always renormalizes the chosen experts' weights, unless it is given weights as input 14.
MoE can be told not to, but is then wrong when it runs in place on its input; so its renormalized
result is multiplied by what the weights sum to. Both measured with onnxruntime 1.31.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from export.graph.builder import MICROSOFT, AttributeValue, GraphBuilder, Value
from export.graph.layers.elementwise import scaled_exactly
from export.graph.layers.gathered_experts import gathered_experts
from export.graph.layers.linear import exact_linear, exact_vector, linear, vector
from export.graph.layers.mlp import shared_expert
from export.graph.layers.norm import rms_norm
from export.graph.layers.routing import expert_weights, sum_over_experts
from export.graph.weights import under
from export.quantization.blockwise import Float, Quantized, Weight, written_zero_points
from export.quantization.expert_layout import interleave
from export.spec.decoder import Activation, ClampedSwiglu, SparseMoE
from export.spec.routers import AnyRouter, Router, ScoredRouter, SparseMixer

Biases = tuple[Value | None, Value | None]
"""The biases of gate and up, rows interleaved as theirs, and the biases of down."""


class Routed(NamedTuple):
    """What goes into the experts: `logits` choose them, `own` are weights where logits cannot."""

    x: Value
    logits: Value
    own: Value | None


_ZERO_POINTS_INPUT: Final = 11


def moe(
    graph: GraphBuilder, spec: SparseMoE, weights: Mapping[str, Weight], x: Value, stream: Value
) -> Value:
    """Return the weighted sum of the chosen experts and the shared one, where there is one.

    x and what it is the norm of, `stream`, are [batch, sequence, hidden_size].
    """
    chosen = _routed(graph, spec, weights, x if spec.norm is None else stream)
    if spec.shared is None:
        return chosen
    always = shared_expert(graph, spec, under(weights, "shared."), x)
    if spec.norm is not None:
        always = rms_norm(graph, spec.norm, weights["shared.output_norm"], always)
    return graph.op("Add", chosen, always)


def _routed(graph: GraphBuilder, spec: SparseMoE, weights: Mapping[str, Weight], x: Value) -> Value:
    router, bias = weights["router"], weights.get("router_bias")
    if spec.norm is None:
        return _chosen(graph, spec, weights, x, exact_linear(graph, router, x, bias))
    assert isinstance(router, Float)
    normed = rms_norm(graph, spec.norm, weights["router_norm"], x)
    logits = exact_linear(graph, router, normed, bias)
    logits = scaled_exactly(graph, logits, router.values.shape[-1] ** -0.5)
    given = rms_norm(graph, spec.norm, weights["input_norm"], x)
    chosen = _chosen(graph, spec, weights, given, logits)
    return rms_norm(graph, spec.norm, weights["output_norm"], chosen)


def _chosen(
    graph: GraphBuilder, spec: SparseMoE, weights: Mapping[str, Weight], x: Value, logits: Value
) -> Value:
    if spec.latent_size is not None:
        whole = msgspec.structs.replace(spec, latent_size=None)
        latent = linear(graph, weights["latent_in"], x)
        mixed = _chosen(graph, whole, weights, latent, logits)
        return linear(graph, weights["latent_out"], mixed)
    own = _own_weights(graph, spec.router, weights, logits)
    if not spec.gated or spec.activation in {"gelu", "gelu_tanh", "relu2"}:
        of_all = expert_weights(graph, spec.router, logits) if own is None else own
        return gathered_experts(graph, spec, weights, x, of_all)
    gate_up = interleave(weights["gate"], weights["up"])
    biases = _biases(graph, spec, weights)
    routed = Routed(x, logits, own)
    match gate_up, weights["down"]:
        case Float(), Float() as down:
            return _float_experts(graph, spec, routed, (gate_up, down), biases)
        case Quantized(), Quantized() as down:
            return _quantized_experts(graph, spec, routed, (gate_up, down), biases)
        case _:
            raise AssertionError("the experts of a layer come from one scheme")


def _biases(graph: GraphBuilder, spec: SparseMoE, weights: Mapping[str, Weight]) -> Biases:
    if not spec.bias:
        return None, None
    gate, up = weights["gate_bias"], weights["up_bias"]
    assert isinstance(gate, Float)
    assert isinstance(up, Float)
    both = np.stack([gate.values, up.values], axis=-1).reshape(spec.num_experts, -1)
    return graph.floats(both), vector(graph, weights["down_bias"])


def _float_experts(
    graph: GraphBuilder,
    spec: SparseMoE,
    routed: Routed,
    matrices_of_experts: tuple[Float, Float],
    biases: Biases,
) -> Value:
    x, logits, own = routed
    gate_up, down = (graph.floats(matrix.values) for matrix in matrices_of_experts)
    matrices = [gate_up, biases[0], down, biases[1]]
    scores, total = _normalized_routing(graph, spec.router, logits, own)
    tokens = graph.converted(_per_token(graph, spec, scores), np.float32)
    mixed = _experts(graph, "MoE", spec, [x, tokens, *matrices], normalize_routing_weights=1)
    if total is None:
        return mixed
    return graph.op("Mul", mixed, graph.converted(total, np.float32))


def _normalized_routing(
    graph: GraphBuilder, router: AnyRouter, logits: Value, own: Value | None
) -> tuple[Value, Value | None]:
    """Return logits whose chosen softmax is in proportion to the weights, and what those sum to.

    No sum means one.
    """
    match router:
        case Router(renormalize=True):
            return logits, None
        case Router():
            return logits, _sum_of_weights(graph, router, logits)
        case ScoredRouter() | SparseMixer():
            assert own is not None
            smallest = graph.constant(np.array(1e-30, np.float32))
            scores = graph.op("Log", graph.op("Max", own, smallest))
            return scores, sum_over_experts(graph, own)


def _quantized_experts(
    graph: GraphBuilder,
    spec: SparseMoE,
    routed: Routed,
    matrices_of_experts: tuple[Quantized, Quantized],
    biases: Biases,
) -> Value:
    x, logits, own = routed
    gate_up, down = matrices_of_experts
    tokens = _per_token(graph, spec, logits if own is None else own)
    matrices = [
        *(graph.weight(gate_up.data), graph.floats(gate_up.scales), biases[0]),
        *(graph.weight(down.data), graph.floats(down.scales), biases[1]),
    ]
    inputs = [x, graph.converted(tokens, np.float32), *matrices]
    if gate_up.zero_points is not None or down.zero_points is not None:
        inputs += [None] * (_ZERO_POINTS_INPUT - len(inputs))
        inputs += [graph.weight(written_zero_points(matrix)) for matrix in matrices_of_experts]
    mixing = _mixing_weights(graph, spec.router, tokens)
    if mixing is not None:
        inputs += [None] * (14 - len(inputs)) + [graph.converted(mixing, np.float32)]
    return _experts(
        graph,
        "QMoE",
        spec,
        inputs,
        normalize_routing_weights=int(mixing is None),
        expert_weight_bits=down.bits,
        block_size=down.block_size,
        **graph.target.rounded_experts,
    )


def _own_weights(
    graph: GraphBuilder, router: AnyRouter, weights: Mapping[str, Weight], logits: Value
) -> Value | None:
    """Return the weight of every expert where the operators cannot find the chosen ones."""
    match router:
        case Router():
            return None
        case ScoredRouter() | SparseMixer():
            names = {"correction": "router_correction", "expert_scale": "router_scale"}
            learned = {
                kind: exact_vector(graph, weights[name])
                for kind, name in names.items()
                if name in weights
            }
            return expert_weights(graph, router, logits, **learned)


def _mixing_weights(graph: GraphBuilder, router: AnyRouter, tokens: Value) -> Value | None:
    """Return QMoE's input 14, which it needs where the chosen weights do not sum to one.

    Own weights are zero but for the chosen experts, so that QMoE chooses by them as well.
    """
    match router:
        case Router(renormalize=True):
            return None
        case Router():
            return graph.op("Softmax", tokens, axis=-1)
        case ScoredRouter() | SparseMixer():
            return tokens


def _per_token(graph: GraphBuilder, spec: SparseMoE, logits: Value) -> Value:
    return graph.op("Reshape", logits, graph.constant(np.array([-1, spec.num_experts], np.int64)))


def _sum_of_weights(graph: GraphBuilder, router: Router, logits: Value) -> Value:
    """Return the share of the softmax that the chosen experts have, [batch, sequence, 1]."""
    k = graph.constant(np.array([router.num_experts_per_tok], np.int64))
    scores = graph.op("Softmax", logits, axis=-1)
    chosen, _ = graph.ops("TopK", [scores, k], num_outputs=2, attributes={"axis": -1})
    return sum_over_experts(graph, chosen)


def _experts(
    graph: GraphBuilder,
    op_type: str,
    spec: SparseMoE,
    inputs: Sequence[Value | None],
    **attributes: AttributeValue,
) -> Value:
    return graph.op(
        op_type,
        *inputs,
        domain=MICROSOFT,
        k=spec.router.num_experts_per_tok,
        activation_type="swiglu",
        swiglu_fusion=1,
        **_swiglu(spec.activation),
        **attributes,
    )


def _swiglu(activation: Activation | ClampedSwiglu) -> dict[str, float]:
    match activation:
        case ClampedSwiglu(alpha=alpha, limit=limit):
            return {"activation_alpha": alpha, "activation_beta": 1.0, "swiglu_limit": limit}
        case _:
            return {"activation_alpha": 1.0, "activation_beta": 0.0}
