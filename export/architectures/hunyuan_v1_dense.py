"""Hunyuan, dense: heads normalized behind their rotation, whose base is stretched once for all.

Source: https://github.com/Tencent-Hunyuan and the model type `hunyuan_v1_dense` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_dense_decoder,
    read_norm,
    read_rope,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, GroupedQuery
from export.spec.rope import Rope


def read_spec(config: Config) -> DecoderSpec:
    config.require("mlp_bias", False)
    return read_dense_decoder(config, read_hunyuan_attention(config))


def read_hunyuan_attention(config: Config) -> GroupedQuery:
    config.require("use_qk_norm", True)
    head_dim = config.integer(
        config.spelling("head_dim", "attention_head_dim"),
        default=config.integer("hidden_size") // config.integer("num_attention_heads"),
    )
    config.require("attention_head_dim", head_dim)
    norm = QueryKeyNorm(
        norm=read_norm(config, default_epsilon=1e-5), over="head", behind_rotation=True
    )
    attention = read_attention(
        config, rope=_read_rope(config, head_dim), default_head_dim=head_dim, default_bias=False
    )
    return msgspec.structs.replace(attention, query_key_norm=norm)


def _read_rope(config: Config, head_dim: int) -> Rope:
    """Read the rotation; what is called `dynamic` with an `alpha` depends on no length."""
    scaling = config.section(config.spelling("rope_scaling", "rope_parameters"))
    if not scaling.has("alpha"):
        return read_rope(config, default_theta=10_000.0)
    scaling.require(scaling.spelling("rope_type", "type"), "dynamic")
    at_the_top = config.has("rope_theta") or not scaling.has("rope_theta")
    theta = (config if at_the_top else scaling).number("rope_theta", default=10_000.0)
    alpha = scaling.number("alpha")
    # Of scalings that the type does not name.
    scaling.refuse_unread(
        {"type", "rope_type", "factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"}
    )
    return Rope(theta=theta * alpha ** (head_dim / (head_dim - 2)))


HUNYUAN_RULES: Final = (
    *DECODER_RULES,
    *INPUT_BIAS_RULES,
    *OUTPUT_BIAS_RULES,
    *(
        Rule(
            f"model.layers.{{layer}}.self_attn.{name}_layernorm.weight",
            f"layers.{{layer}}.attention.{name}_norm",
        )
        for name in ("query", "key")
    ),
)

FAMILY: Final = Family(
    model_type="hunyuan_v1_dense",
    class_names=("HunYuanDenseV1ForCausalLM",),
    read_spec=read_spec,
    rules=(*HUNYUAN_RULES, *GATED_MLP_RULES),
    # Tokens that end documents, which the tokenizer says.
    ignored=frozenset({"eod_token_id", "pad_id", "org_vocab_size"}),
)
