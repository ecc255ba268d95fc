"""Qwen3-MoE: grouped-query attention with normalized heads, softmax top-k experts.

Source: Qwen3 technical report (arXiv:2505.09388) and the model type `qwen3_moe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    EXPERT_RULES,
    GATED_MLP_RULES,
    HEAD_NORM_RULES,
    MULTIMODAL_ROPE_KEYS,
    UNUSED_WINDOW_KEYS,
    read_attention,
    read_decoder,
    read_norm,
    read_rope,
    sparse_layers,
)
from export.architectures.granitemoe import gate_and_up_rules
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, Dense, Layer, SparseMoE
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    config.require("use_sliding_window", False)
    norm = read_norm(config)
    attention = msgspec.structs.replace(
        read_attention(config, rope=read_rope(config, harmless=MULTIMODAL_ROPE_KEYS)),
        query_key_norm=QueryKeyNorm(norm=norm, over="head"),
    )
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    experts = read_experts(config)
    return read_decoder(
        config,
        [
            Layer(attention=attention, feed_forward=experts if sparse else dense, norm=norm)
            for sparse in sparse_layers(config)
        ],
    )


def read_experts(config: Config, *, default_norm_topk_prob: bool = False) -> SparseMoE:
    # transformers 5 writes the same number under the second name.
    num_experts = config.integer(config.spelling("num_experts", "num_local_experts"))
    return SparseMoE(
        num_experts=num_experts,
        moe_intermediate_size=config.integer("moe_intermediate_size"),
        router=Router(
            num_experts_per_tok=config.integer("num_experts_per_tok"),
            renormalize=config.boolean("norm_topk_prob", default=default_norm_topk_prob),
        ),
    )


_EXPERTS: Final = "model.layers.{layer}.mlp.experts."

FUSED_EXPERT_RULES: Final = tuple(
    msgspec.structs.replace(rule, transposed=True)
    for rule in (
        *gate_and_up_rules(_EXPERTS + "gate_up_proj", "layers.{layer}.moe", axis=1),
        Rule(_EXPERTS + "down_proj", "layers.{layer}.moe.down"),
    )
)
"""As Qwen3-VL's checkpoints have them: all experts of a layer in one tensor, inputs first."""

FAMILY: Final = Family(
    model_type="qwen3_moe",
    class_names=("Qwen3MoeForCausalLM",),
    read_spec=read_spec,
    text_types=("qwen3_vl_moe_text",),
    rules=(
        *DECODER_RULES,
        *HEAD_NORM_RULES,
        *GATED_MLP_RULES,
        *EXPERT_RULES,
        *FUSED_EXPERT_RULES,
    ),
    ignored=UNUSED_WINDOW_KEYS,
)
