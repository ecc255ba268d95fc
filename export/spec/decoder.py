"""Say what a decoder computes, in words that every model family shares.

A DecoderSpec is a value: sum types instead of optional fields, so that a field exists only where
it has a meaning. `slots` lists the tensors a spec needs; their names are ours, not a checkpoint's.
This module knows no checkpoint, no graph and no precision.
"""

from collections.abc import Mapping
from math import prod
from typing import Final, Literal

import msgspec

from export.spec.attention import (
    GroupedQuery,
    Latent,
    grouped_query_slots,
    latent_slots,
)
from export.spec.norms import LayerNorm, Norm, RmsNorm
from export.spec.recurrence import (
    GatedDelta,
    Recurrence,
    ShortConvolution,
    StateSpace,
    recurrence_slots,
)
from export.spec.routers import AnyRouter, ScoredRouter
from export.spec.slot import Slot
from export.spec.slot import make_slot as _slot

SMALL_MODEL: Final = 250_000_000
"""Parameters up to which an export can afford what grows with them."""

Activation = Literal["silu", "gelu", "gelu_tanh", "relu2"]
"""`gelu` is x/2 * (1 + erf(x/sqrt(2))), `gelu_tanh` its approximation
x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x³))) (arXiv:1606.08415), `relu2` is max(x, 0)²
(arXiv:2109.08668)."""


class Dense(msgspec.Struct, frozen=True, kw_only=True):
    """down(activation(gate(x)) * up(x)) (Shazeer 2020, arXiv:2002.05202)."""

    intermediate_size: int
    activation: Activation = "silu"


class Ungated(msgspec.Struct, frozen=True, kw_only=True):
    """down(activation(up(x))), each with a bias where `bias` says so."""

    intermediate_size: int
    activation: Activation
    bias: bool


class Absent(msgspec.Struct, frozen=True):
    """The layer has no such part, and no norm before it."""


class ClampedSwiglu(msgspec.Struct, frozen=True, kw_only=True):
    """gate * sigmoid(alpha * gate) * (up + 1), cut off at `limit`, gate above and up on both sides.

    Source: gpt-oss model card (arXiv:2508.10925).
    """

    alpha: float
    limit: float


class SharedExpert(msgspec.Struct, frozen=True, kw_only=True):
    """A Dense that every token passes, scaled by sigmoid(x @ gate) where it has a gate."""

    intermediate_size: int
    gate: Literal["sigmoid", "none"]


class SparseMoE(msgspec.Struct, frozen=True, kw_only=True):
    """The router's weighted sum over the chosen experts, each a Dense of its own.

    The shared expert is added to it, which has the same activation. `bias` is that of every
    expert's matrices.
    `norm`: router and experts are given the stream itself, each normalized with weights of its own,
    and the shared expert what the layer normalized; what both give is normalized before it is
    added. Logits of the router are divided by sqrt(hidden_size).
    `gated`: experts and shared one have a gate; else they are down(activation(up(x))).
    `latent_size`: experts read and give so many numbers of a token, which one matrix makes of it
    and another one makes a token of again; router and shared expert see the token.
    """

    num_experts: int
    moe_intermediate_size: int
    router: AnyRouter
    shared: SharedExpert | None = None
    activation: Activation | ClampedSwiglu = "silu"
    bias: bool = False
    norm: RmsNorm | None = None
    gated: bool = True
    latent_size: int | None = None

    @property
    def matrices(self) -> tuple[str, ...]:
        """What an expert's matrices are called."""
        return ("gate", "up", "down") if self.gated else ("up", "down")


CachedAttention = GroupedQuery | Latent
"""Those that look back at keys and values of the tokens before."""

Attention = CachedAttention | Recurrence
FeedForward = Dense | Ungated | SparseMoE | Absent


def window_of(attention: CachedAttention) -> int | None:
    """Return how many tokens each sees, itself among them; None where it sees all before it."""
    match attention:
        case GroupedQuery(window=window):
            return window
        case Latent():
            return None


class Residual(msgspec.Struct, frozen=True, kw_only=True):
    """How a part f of a layer is added to the stream.

    `before`: x + scale * f(norm(x)); `after`: x + scale * norm(f(x)); `around`, two norms a part:
    x + scale * norm(f(norm(x))).
    """

    norm_position: Literal["before", "around", "after"] = "before"
    scale: float = 1.0

    @property
    def has_inner_norm(self) -> bool:
        return self.norm_position != "after"

    @property
    def has_outer_norm(self) -> bool:
        return self.norm_position != "before"


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """The attention, then the feed-forward part, each added to the stream.

    `output_scale`: the stream is then multiplied by one number that was learned.
    """

    attention: Attention
    feed_forward: FeedForward
    norm: Norm
    residual: Residual = Residual()
    output_scale: bool = False


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """logits * scale, then softcap * tanh(logits / softcap) where there is a softcap."""

    scale: float = 1.0
    softcap: float | None = None
    bias: bool = False


Hidden = Literal["normed", "stream"]
"""What a decoder gives for another one to read: what its head is given, or that before the norm."""


class Joining(msgspec.Struct, frozen=True, kw_only=True):
    """How a decoder begins that reads another one's hidden states beside tokens: a predictor.

    projection @ [norm(embedding of the next token); norm(hidden state of a token)], or the other
    way round with `hidden_first`; so its logits are those of the token behind the next one
    (DeepSeek-V3, arXiv:2412.19437, section 2.2). `reads` is also what it gives of its own, which
    it reads in turn to predict one token more.
    """

    hidden_first: bool = False
    reads: Hidden = "normed"


class DecoderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Embeddings are multiplied by `embedding_scale`; the last `norm` stands before the head.

    `learned_positions`: a vector is added to them that was learned for the token's place in the
    text, of which there are `max_position_embeddings`.
    `joining`: the first layer is given embeddings joined with another decoder's hidden states.
    """

    vocab_size: int
    hidden_size: int
    layers: tuple[Layer, ...]
    norm: Norm
    tie_word_embeddings: bool
    max_position_embeddings: int
    embedding_scale: float = 1.0
    learned_positions: bool = False
    head: Head = Head()
    joining: Joining | None = None


def slots(spec: DecoderSpec) -> dict[str, Slot]:
    """Return every tensor that the spec needs, in the order in which the decoder uses them."""
    hidden = spec.hidden_size
    found = {"embedding": _slot("embedding", spec.vocab_size, hidden)}
    if spec.learned_positions:
        found["positions"] = _slot("embedding", spec.max_position_embeddings, hidden)
    if spec.joining is not None:
        found |= _norm_slots("joining.token_norm", spec.norm, hidden)
        found |= _norm_slots("joining.hidden_norm", spec.norm, hidden)
        found["joining.projection"] = _slot("projection", hidden, 2 * hidden)
    for index, layer in enumerate(spec.layers):
        parts = {
            **_inner_norm_slots("attention_norm", layer, hidden),
            **_attention_slots(layer.attention, hidden),
            **_outer_norm_slots("attention_output_norm", layer, hidden),
            **_feed_forward_part(layer, hidden),
            **({"output_scale": _slot("bias", 1)} if layer.output_scale else {}),
        }
        found |= {f"layers.{index}.{name}": slot for name, slot in parts.items()}
    found |= _norm_slots("norm", spec.norm, hidden)
    if not spec.tie_word_embeddings:
        found["head"] = _slot("head", spec.vocab_size, hidden)
    if spec.head.bias:
        found["head_bias"] = _slot("bias", spec.vocab_size)
    return found


def _feed_forward_part(layer: Layer, hidden: int) -> dict[str, Slot]:
    if isinstance(layer.feed_forward, Absent):
        return {}
    return {
        **_inner_norm_slots("feed_forward_norm", layer, hidden),
        **_feed_forward_slots(layer.feed_forward, hidden),
        **_outer_norm_slots("feed_forward_output_norm", layer, hidden),
    }


def num_parameters(spec: DecoderSpec) -> int:
    return sum(prod(slot.shape) for slot in slots(spec).values())


def is_small(spec: DecoderSpec) -> bool:
    """Say whether the oracle, GPTQ and arithmetic in double take less time than people have."""
    return num_parameters(spec) <= SMALL_MODEL


def num_active_parameters(spec: DecoderSpec) -> int:
    """Count what one token is multiplied by: one embedding row, its own experts, the whole head."""
    needed = slots(spec)
    active = sum(
        prod(slot.shape) for slot in needed.values() if slot.role not in {"embedding", "expert"}
    )
    for index, layer in enumerate(spec.layers):
        match layer.feed_forward:
            case SparseMoE(router=router):
                prefix = f"layers.{index}.moe."
                active += router.num_experts_per_tok * _row_size(needed, prefix)
            case Dense() | Ungated() | Absent():
                pass
    head = prod(needed["embedding"].shape) if spec.tie_word_embeddings else 0
    num_rows = 2 if spec.learned_positions else 1
    return active + num_rows * spec.hidden_size + head


def _row_size(needed: Mapping[str, Slot], prefix: str) -> int:
    return sum(
        prod(slot.shape[1:])
        for name, slot in needed.items()
        if name.startswith(prefix) and slot.role == "expert"
    )


def _norm_slots(name: str, norm: Norm, hidden: int) -> dict[str, Slot]:
    match norm:
        case RmsNorm():
            return {name: _slot("norm", hidden)}
        case LayerNorm():
            return {name: _slot("norm", hidden), f"{name}_bias": _slot("bias", hidden)}


def _inner_norm_slots(name: str, layer: Layer, hidden: int) -> dict[str, Slot]:
    return _norm_slots(name, layer.norm, hidden) if layer.residual.has_inner_norm else {}


def _outer_norm_slots(name: str, layer: Layer, hidden: int) -> dict[str, Slot]:
    return _norm_slots(name, layer.norm, hidden) if layer.residual.has_outer_norm else {}


def _attention_slots(attention: Attention, hidden: int) -> dict[str, Slot]:
    match attention:
        case GroupedQuery():
            return grouped_query_slots(attention, hidden)
        case Latent():
            return latent_slots(attention, hidden)
        case GatedDelta() | ShortConvolution() | StateSpace():
            return recurrence_slots(attention, hidden)


def _feed_forward_slots(feed_forward: Dense | Ungated | SparseMoE, hidden: int) -> dict[str, Slot]:
    match feed_forward:
        case Dense(intermediate_size=size):
            return _dense_slots("mlp", size, hidden)
        case Ungated(intermediate_size=size, bias=bias):
            biases = {"mlp.up_bias": _slot("bias", size), "mlp.down_bias": _slot("bias", hidden)}
            return {
                "mlp.up": _slot("projection", size, hidden),
                "mlp.down": _slot("projection", hidden, size),
                **(biases if bias else {}),
            }
        case SparseMoE(num_experts=experts, shared=shared):
            return {
                **_expert_bias_slots(feed_forward, hidden),
                "moe.router": _slot("router", experts, hidden),
                **_expert_slots(feed_forward, hidden),
                **({} if shared is None else _shared_slots(feed_forward, shared, hidden)),
                **_own_norm_slots(feed_forward, hidden),
            }


def _expert_slots(moe: SparseMoE, hidden: int) -> dict[str, Slot]:
    experts, size, latent = moe.num_experts, moe.moe_intermediate_size, moe.latent_size
    width = hidden if latent is None else latent
    found = {
        f"moe.{name}": _slot(
            "expert", experts, *((width, size) if name == "down" else (size, width))
        )
        for name in moe.matrices
    }
    if latent is not None:
        found["moe.latent_in"] = _slot("projection", latent, hidden)
        found["moe.latent_out"] = _slot("projection", hidden, latent)
    return found


def _own_norm_slots(moe: SparseMoE, hidden: int) -> dict[str, Slot]:
    if moe.norm is None:
        return {}
    names = ["router_norm", "input_norm", "output_norm"]
    names += [] if moe.shared is None else ["shared.output_norm"]
    return {f"moe.{name}": _slot("norm", hidden) for name in names}


def _expert_bias_slots(moe: SparseMoE, hidden: int) -> dict[str, Slot]:
    found: dict[str, Slot] = {}
    if moe.router.bias:
        found["moe.router_bias"] = _slot("bias", moe.num_experts)
    if isinstance(moe.router, ScoredRouter) and moe.router.correction:
        found["moe.router_correction"] = _slot("bias", moe.num_experts)
    if isinstance(moe.router, ScoredRouter) and moe.router.expert_scale:
        found["moe.router_scale"] = _slot("bias", moe.num_experts)
    if moe.bias:
        sizes = {"gate": moe.moe_intermediate_size, "up": moe.moe_intermediate_size, "down": hidden}
        found |= {
            f"moe.{name}_bias": _slot("bias", moe.num_experts, size) for name, size in sizes.items()
        }
    return found


def _dense_slots(prefix: str, size: int, hidden: int, *, gated: bool = True) -> dict[str, Slot]:
    if not gated:
        return {
            f"{prefix}.up": _slot("projection", size, hidden),
            f"{prefix}.down": _slot("projection", hidden, size),
        }
    return {
        f"{prefix}.gate": _slot("projection", size, hidden),
        f"{prefix}.up": _slot("projection", size, hidden),
        f"{prefix}.down": _slot("projection", hidden, size),
    }


def _shared_slots(moe: SparseMoE, shared: SharedExpert, hidden: int) -> dict[str, Slot]:
    size = shared.intermediate_size
    found = _dense_slots("moe.shared", size, hidden, gated=moe.gated)
    if shared.gate == "sigmoid":
        found["moe.shared.router"] = _slot("router", 1, hidden)
    return found
