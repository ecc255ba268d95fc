"""Gemma 4, its text: windowed layers and full ones with heads of their own, dense or with experts.

The smaller models (E2B, E4B) have what is refused here: embeddings for each layer, and layers that
attend to the keys and values of another one.
Source: the model type `gemma4_text` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    HEAD_NORM_RULES,
    LAYER_TYPES,
    read_attention,
    read_decoder,
    read_layer_rope,
    read_layer_types,
    read_norm,
    read_window,
)
from export.architectures.gemma2 import GEMMA_RULES, read_optional_number
from export.architectures.granitemoe import gate_and_up_rules
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import UnsupportedError
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import (
    DecoderSpec,
    Dense,
    FeedForward,
    GroupedQuery,
    Head,
    Layer,
    Residual,
    SharedExpert,
    SparseMoE,
)
from export.spec.rope import FastestPairs, Rope
from export.spec.routers import ScoredRouter

PATTERN: Final = ("sliding_attention",) * 5 + ("full_attention",)


def read_spec(config: Config) -> DecoderSpec:
    _refuse_what_is_missing(config)
    kinds = read_layer_types(config, "layer_types", LAYER_TYPES, default=PATTERN)
    if kinds[-1] != "full_attention":
        raise UnsupportedError("config.json has a last layer that sees a window")
    feed_forward = _feed_forward(config)
    by_kind = {
        kind: Layer(
            attention=_attention(config, kind),
            feed_forward=feed_forward,
            norm=read_norm(config),
            residual=Residual(norm_position="around"),
            output_scale=True,
        )
        for kind in sorted(set(kinds))
    }
    spec = read_decoder(config, [by_kind[kind] for kind in kinds], tied_by_default=True)
    return msgspec.structs.replace(
        spec,
        embedding_scale=spec.hidden_size**0.5,
        head=Head(softcap=read_optional_number(config, "final_logit_softcapping")),
    )


def _refuse_what_is_missing(config: Config) -> None:
    config.require("hidden_activation", "gelu_pytorch_tanh")
    config.require("attention_bias", False)
    # Only the text is read, which always looks back alone.
    config.require("use_bidirectional_attention", "vision")
    num_shared = config.integer("num_kv_shared_layers", default=0, minimum=0)
    if num_shared:
        raise UnsupportedError(
            f"config.json says num_kv_shared_layers = {num_shared}; attention to the keys and "
            "values of another layer is not implemented"
        )
    size = config.integer("hidden_size_per_layer_input", default=256, minimum=0)
    if size:
        raise UnsupportedError(
            f"config.json says hidden_size_per_layer_input = {size}; embeddings for each layer are "
            "not implemented"
        )


def _attention(config: Config, kind: str) -> GroupedQuery:
    norm = read_norm(config)
    attention = msgspec.structs.replace(
        read_attention(config, rope=_rope(config, kind), default_head_dim=256),
        query_key_norm=QueryKeyNorm(norm=norm, over="head"),
        value_norm=norm,
        scale=1.0,
        window=read_window(config, kind),
    )
    # Both are read whatever the kind is.
    head_dim = config.integer("global_head_dim", default=512)
    keys_are_values = config.boolean("attention_k_eq_v", default=False)
    usual = attention.num_key_value_heads
    num_heads = config.integer("num_global_key_value_heads", default=usual)
    if kind == "sliding_attention":
        return attention
    return msgspec.structs.replace(
        attention,
        head_dim=head_dim,
        num_key_value_heads=num_heads if keys_are_values else usual,
        keys_are_values=keys_are_values,
    )


def _rope(config: Config, kind: str) -> Rope:
    if kind == "sliding_attention":
        return read_layer_rope(config, kind)
    parameters = config.section("rope_parameters").section(kind)
    parameters.require("rope_type", "proportional")
    share = parameters.number("partial_rotary_factor", default=1.0)
    theta = parameters.number("rope_theta")
    parameters.refuse_unread()
    return Rope(theta=theta, scaling=FastestPairs(share=share))


def _feed_forward(config: Config) -> FeedForward:
    size = config.integer("intermediate_size")
    if not config.boolean("enable_moe_block", default=False):
        return Dense(intermediate_size=size, activation="gelu_tanh")
    return SparseMoE(
        num_experts=config.integer("num_experts"),
        moe_intermediate_size=config.integer("moe_intermediate_size"),
        router=ScoredRouter(
            num_experts_per_tok=config.integer("top_k_experts"),
            score="softmax",
            renormalize=True,
            scale=1.0,
            correction=False,
            groups=None,
            expert_scale=True,
        ),
        shared=SharedExpert(intermediate_size=size, gate="none"),
        activation="gelu_tanh",
        norm=read_norm(config),
    )


def _layer_rules() -> list[Rule]:
    names = {
        "layer_scalar": "output_scale",
        "router.scale": "moe.router_norm",
        "router.proj.weight": "moe.router",
        "router.per_expert_scale": "moe.router_scale",
        "experts.down_proj": "moe.down",
        "pre_feedforward_layernorm_2.weight": "moe.input_norm",
        "post_feedforward_layernorm_1.weight": "moe.shared.output_norm",
        "post_feedforward_layernorm_2.weight": "moe.output_norm",
    }
    return [
        Rule(f"model.layers.{{layer}}.{name}", f"layers.{{layer}}.{slot}")
        for name, slot in names.items()
    ]


def _further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    """Return those of what is the whole part in dense layers, and beside the experts in others."""
    has_experts = isinstance(spec.layers[0].feed_forward, SparseMoE)
    part = "moe.shared" if has_experts else "mlp"
    return tuple(
        Rule(f"model.layers.{{layer}}.mlp.{name}_proj.weight", f"layers.{{layer}}.{part}.{name}")
        for name in ("gate", "up", "down")
    )


FAMILY: Final = Family(
    model_type="gemma4_text",
    class_names=("Gemma4ForCausalLM",),
    read_spec=read_spec,
    rules=(
        *(rule for rule in GEMMA_RULES if ".mlp." not in rule.pattern),
        *HEAD_NORM_RULES,
        *_layer_rules(),
        *gate_and_up_rules(
            "model.layers.{layer}.experts.gate_up_proj", "layers.{layer}.moe", axis=1
        ),
    ),
    further_rules=_further_rules,
    # Sizes of what is refused, and of experts or windows where there are none.
    ignored=frozenset(
        {
            "moe_intermediate_size",
            "num_experts",
            "rope_parameters",
            "sliding_window",
            "top_k_experts",
            "use_double_wide_mlp",
            "vocab_size_per_layer_input",
        }
    ),
)
