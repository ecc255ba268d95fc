"""Phi-3.5-MoE: layer norms with biases, and two experts chosen by SparseMixer.

Source: Phi-3 technical report (arXiv:2404.14219) and the model type `phimoe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    INPUT_BIAS_RULES,
    NORM_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    UNNAMED_EXPERT_RULES,
    read_attention,
    read_decoder,
    read_rope,
    read_shared_window,
)
from export.architectures.common.longrope import is_long, read_long_rope, rotation
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Head, Layer, LayerNorm, SparseMoE
from export.spec.rope import Rope
from export.spec.routers import SparseMixer


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("num_experts_per_tok", 2)
    layer = Layer(
        attention=msgspec.structs.replace(
            read_attention(config, rope=_read_rope(config), default_bias=False),
            window=read_shared_window(config),
        ),
        feed_forward=SparseMoE(
            num_experts=config.integer("num_local_experts"),
            moe_intermediate_size=config.integer("intermediate_size"),
            router=SparseMixer(jitter=config.number("router_jitter_noise", default=0.01)),
        ),
        norm=LayerNorm(epsilon=config.number("rms_norm_eps", default=1e-5)),
    )
    spec = read_decoder(config, [layer] * config.integer("num_hidden_layers"))
    return msgspec.structs.replace(
        spec,
        head=Head(bias=config.boolean("lm_head_bias", default=False)),
        max_position_embeddings=_read_context_length(config),
    )


def _read_rope(config: Config) -> Rope:
    scaling = rotation(config)
    if not is_long(scaling):
        return read_rope(config, default_theta=1_000_000.0)
    return read_long_rope(config, attention_factor=scaling.number("short_mscale"))


def _read_context_length(config: Config) -> int:
    limit = config.integer("max_position_embeddings")
    scaling = rotation(config)
    if not is_long(scaling):
        return limit
    return min(limit, scaling.integer("original_max_position_embeddings"))


FAMILY: Final = Family(
    model_type="phimoe",
    class_names=("PhimoeForCausalLM", "PhiMoEForCausalLM"),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *NORM_BIAS_RULES,
        *INPUT_BIAS_RULES,
        *OUTPUT_BIAS_RULES,
        *UNNAMED_EXPERT_RULES,
        Rule("lm_head.bias", "head_bias"),
    ),
    # The rotation says the length again.
    ignored=frozenset({"original_max_position_embeddings"}),
)
