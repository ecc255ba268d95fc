"""Laguna: heads gated by softplus, their number and rotation by layer, DeepSeek-V3-like experts.

Source: the model type `laguna` of transformers.
"""

from typing import Final, Literal

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    EXPERT_RULES,
    GATED_MLP_RULES,
    HEAD_NORM_RULES,
    LAYER_TYPES,
    SHARED_EXPERTS_RULES,
    read_attention,
    read_decoder,
    read_layer_rope,
    read_layer_types,
    read_norm,
    read_window,
)
from export.architectures.common.routed import CORRECTION_RULES
from export.architectures.qwen2_moe import SHARED_EXPERT_RULES
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import CheckpointError
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import (
    DecoderSpec,
    Dense,
    FeedForward,
    GroupedQuery,
    Layer,
    SharedExpert,
    SparseMoE,
)
from export.spec.routers import ScoredRouter


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    config.require("use_bidirectional_attention", False)
    num_layers = config.integer("num_hidden_layers")
    default = ["dense"] + ["sparse"] * (num_layers - 1)
    parts: dict[str, FeedForward] = {
        "dense": Dense(intermediate_size=config.integer("intermediate_size")),
        "sparse": _experts(config),
    }
    mlps = read_layer_types(config, "mlp_layer_types", tuple(parts), default=default)
    kinds = read_layer_types(config, "layer_types", LAYER_TYPES, default=["full_attention"])
    attention = {kind: _attention(config, kind) for kind in set(kinds)}
    return read_decoder(
        config,
        [
            Layer(
                attention=msgspec.structs.replace(attention[kind], num_attention_heads=num_heads),
                feed_forward=parts[mlp],
                norm=read_norm(config),
            )
            for kind, mlp, num_heads in zip(kinds, mlps, _num_heads(config), strict=True)
        ],
    )


def _attention(config: Config, kind: str) -> GroupedQuery:
    rope = read_layer_rope(config, kind)
    return msgspec.structs.replace(
        read_attention(config, rope=rope, default_head_dim=128),
        query_key_norm=QueryKeyNorm(norm=read_norm(config), over="head"),
        softplus_gate=_gate(config),
        window=read_window(config, kind),
    )


def _gate(config: Config) -> Literal["head", "number"]:
    num_layers = config.integer("num_hidden_layers")
    if config.choice("gating", True, "per-head", "per-element") == "per-element":
        config.require("gating_types", ["per_element"] * num_layers)
        return "number"
    config.require("gating_types", ["per_head"] * num_layers)
    return "head"


def _num_heads(config: Config) -> tuple[int, ...]:
    num_layers = config.integer("num_hidden_layers")
    found = config.integers("num_attention_heads_per_layer")
    if not found:
        return (config.integer("num_attention_heads"),) * num_layers
    if len(found) != num_layers or min(found) < 1:
        raise CheckpointError(
            f"config.json says num_attention_heads_per_layer = {[*found]} for {num_layers} layers"
        )
    return found


def _experts(config: Config) -> SparseMoE:
    config.require("moe_apply_router_weight_on_input", False)
    config.require("moe_router_logit_softcapping", 0.0)
    config.require("norm_topk_prob", True)
    return SparseMoE(
        num_experts=config.integer("num_experts"),
        moe_intermediate_size=config.integer("moe_intermediate_size"),
        router=ScoredRouter(
            num_experts_per_tok=config.integer("num_experts_per_tok"),
            score="sigmoid",
            renormalize=True,
            scale=config.number("moe_routed_scaling_factor", default=1.0),
            correction=True,
            groups=None,
        ),
        shared=SharedExpert(
            intermediate_size=config.integer("shared_expert_intermediate_size"), gate="none"
        ),
    )


FAMILY: Final = Family(
    model_type="laguna",
    class_names=("LagunaForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *HEAD_NORM_RULES,
        Rule("model.layers.{layer}.self_attn.g_proj.weight", "layers.{layer}.attention.gate"),
        *GATED_MLP_RULES,
        *EXPERT_RULES,
        *SHARED_EXPERT_RULES,
        *SHARED_EXPERTS_RULES,
        Rule(
            "model.layers.{layer}.mlp.experts.e_score_correction_bias",
            "layers.{layer}.moe.router_correction",
        ),
        *CORRECTION_RULES,
    ),
    # Windows and rotations that no layer has, a share of a head that each kind says itself, and
    # which layers have experts where a list of them says it as well.
    ignored=frozenset(
        {
            "decoder_sparse_step",
            "mlp_only_layers",
            "partial_rotary_factor",
            "rope_parameters",
            "sliding_window",
        }
    ),
)
