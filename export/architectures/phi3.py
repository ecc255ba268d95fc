"""Phi-3 and Phi-4, dense: projections in one tensor, and a rotation of its own for short texts.

Source: Phi-3 technical report (arXiv:2404.14219) and the model type `phi3` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.fused import query_key_value_rules
from export.architectures.common.keys import (
    DECODER_RULES,
    read_attention,
    read_dense_decoder,
    read_rope,
    read_shared_window,
)
from export.architectures.common.longrope import (
    attention_factor,
    is_long,
    original_length,
    read_long_rope,
    rotation,
)
from export.architectures.granitemoe import gate_and_up_rules
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec
from export.spec.rope import Rope


def read_spec(config: Config) -> DecoderSpec:
    for key in ("attention_bias", "mlp_bias", "lm_head_bias"):
        config.require(key, False)
    # Of a layer in so many, and of the length between: both say that nothing is left out.
    config.require("full_attn_mod", 1)
    config.require("interpolate_factor", 1)
    attention = msgspec.structs.replace(
        read_attention(config, rope=_read_rope(config)), window=read_shared_window(config)
    )
    spec = read_dense_decoder(config, attention)
    if not is_long(rotation(config)):
        return spec
    limit = min(spec.max_position_embeddings, original_length(config, default=4096))
    return msgspec.structs.replace(spec, max_position_embeddings=limit)


def _read_rope(config: Config) -> Rope:
    scaling = rotation(config)
    if not is_long(scaling):
        return read_rope(config, default_theta=10_000.0, default_share=1.0)
    original = original_length(config, default=4096)
    at_the_top = config.has("partial_rotary_factor")
    share = (config if at_the_top else scaling).number("partial_rotary_factor", default=1.0)
    return read_long_rope(
        config,
        attention_factor=attention_factor(config, original),
        share=share,
        theta=10_000.0,
    )


def _further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    return query_key_value_rules(spec, "model.layers.{layer}.self_attn.qkv_proj", order="behind")


FAMILY: Final = Family(
    model_type="phi3",
    class_names=("Phi3ForCausalLM",),
    read_spec=read_spec,
    rules=(
        *(rule for rule in DECODER_RULES if not rule.slot.endswith(("query", "key", "value"))),
        *gate_and_up_rules(
            "model.layers.{layer}.mlp.gate_up_proj.weight", "layers.{layer}.mlp", axis=0
        ),
        Rule("model.layers.{layer}.mlp.down_proj.weight", "layers.{layer}.mlp.down"),
    ),
    further_rules=_further_rules,
    # The rotation says the length again.
    ignored=frozenset({"original_max_position_embeddings"}),
)
