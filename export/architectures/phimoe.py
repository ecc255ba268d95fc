"""Phi-3.5-MoE: layer norms with biases, and two experts chosen by SparseMixer.

Its rotation has other factors once a text is longer than the context that it was first trained on.
Keys that are in the cache by then were rotated by the old ones, so that context is the limit here.

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
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Head, Layer, LayerNorm, SparseMoE
from export.spec.rope import PairScaling, Rope
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
    scaling = _read_scaling(config)
    if not _is_long(scaling):
        return read_rope(config, default_theta=1_000_000.0)
    factors = scaling.numbers("short_factor")
    at_the_top = config.has("rope_theta") or not scaling.has("rope_theta")
    rope = Rope(
        theta=(config if at_the_top else scaling).number("rope_theta"),
        scaling=PairScaling(factors=factors, attention_factor=scaling.number("short_mscale")),
    )
    # Beyond the limit; the length is read elsewhere.
    scaling.refuse_unread(
        {"type", "rope_type", "long_factor", "long_mscale", "original_max_position_embeddings"}
    )
    return rope


def _read_context_length(config: Config) -> int:
    scaling = _read_scaling(config)
    limit = config.integer("max_position_embeddings")
    if not _is_long(scaling):
        return limit
    return min(limit, scaling.integer("original_max_position_embeddings"))


def _read_scaling(config: Config) -> Config:
    return config.section(config.spelling("rope_scaling", "rope_parameters"))


def _is_long(scaling: Config) -> bool:
    return scaling.text(scaling.spelling("rope_type", "type"), default="default") == "longrope"


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
