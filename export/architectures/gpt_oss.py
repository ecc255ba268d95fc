"""gpt-oss: every second layer sees a window, heads have sinks, experts a clamped SwiGLU and biases.

Source: gpt-oss model card (arXiv:2508.10925) and the model type `gpt_oss` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    INPUT_BIAS_RULES,
    LAYER_TYPES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_decoder,
    read_layer_types,
    read_norm,
    read_window,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule, Share
from export.spec.decoder import ClampedSwiglu, DecoderSpec, GroupedQuery, Layer, SparseMoE
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    norm = read_norm(config, default_epsilon=1e-5)
    kinds = read_layer_types(config, "layer_types", LAYER_TYPES, default=LAYER_TYPES[::-1])
    experts = _experts(config)
    attention = {kind: _attention(config, kind) for kind in set(kinds)}
    return read_decoder(
        config,
        [Layer(attention=attention[kind], feed_forward=experts, norm=norm) for kind in kinds],
    )


def _attention(config: Config, kind: str) -> GroupedQuery:
    return msgspec.structs.replace(
        read_attention(config, default_head_dim=64, default_theta=150000.0, default_bias=True),
        sinks=True,
        window=read_window(config, kind),
    )


def _experts(config: Config) -> SparseMoE:
    chosen = config.spelling("num_experts_per_tok", "experts_per_token")
    return SparseMoE(
        num_experts=config.integer(config.spelling("num_local_experts", "num_experts")),
        moe_intermediate_size=config.integer("intermediate_size"),
        router=Router(num_experts_per_tok=config.integer(chosen), renormalize=True, bias=True),
        activation=ClampedSwiglu(
            alpha=config.number("swiglu_alpha", default=1.702),
            limit=config.number("swiglu_limit", default=7.0),
        ),
        bias=True,
    )


def _expert_rules() -> list[Rule]:
    """Return those of matrices stored [in, out], the outputs of gate and up in turn."""
    experts = "model.layers.{layer}.mlp.experts."
    slot = "layers.{layer}.moe."
    rules = [
        Rule(experts + "down_proj", slot + "down", transposed=True),
        Rule(experts + "down_proj_bias", slot + "down_bias"),
    ]
    for index, name in enumerate(("gate", "up")):
        share = Share(axis=1, index=index, num_groups=None)
        rules += [
            Rule(experts + "gate_up_proj", slot + name, share=share, transposed=True),
            Rule(experts + "gate_up_proj_bias", f"{slot}{name}_bias", share=share),
        ]
    return rules


FAMILY: Final = Family(
    model_type="gpt_oss",
    class_names=("GptOssForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *INPUT_BIAS_RULES,
        *OUTPUT_BIAS_RULES,
        Rule("model.layers.{layer}.self_attn.sinks", "layers.{layer}.attention.sinks"),
        Rule("model.layers.{layer}.mlp.router.weight", "layers.{layer}.moe.router"),
        Rule("model.layers.{layer}.mlp.router.bias", "layers.{layer}.moe.router_bias"),
        *_expert_rules(),
    ),
    # The same as what the rotation says; a window that no layer has.
    ignored=frozenset({"initial_context_length", "sliding_window"}),
)
