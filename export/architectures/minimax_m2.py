"""MiniMax-M2: heads normalized as a whole and rotated in part, experts chosen by sigmoid scores.

Source: the model's card (https://huggingface.co/MiniMaxAI/MiniMax-M2) and the model type
`minimax_m2` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    HEAD_NORM_RULES,
    UNNAMED_EXPERT_RULES,
    read_attention,
    read_decoder,
    read_norm,
    read_rope,
)
from export.architectures.common.routed import BEYOND_THE_LAST_LAYER, read_sigmoid_router
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, GroupedQuery, Layer, SparseMoE


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("use_routing_bias", True)
    num_layers = config.integer("num_hidden_layers")
    config.require("attn_type_list", [1] * num_layers)  # zeros are layers of linear attention
    norm = read_norm(config)
    layer = Layer(
        attention=_attention(config),
        feed_forward=SparseMoE(
            num_experts=config.integer("num_local_experts"),
            moe_intermediate_size=config.integer("intermediate_size"),
            router=read_sigmoid_router(config, default_scale=1.0, default_groups=(1, 1)),
        ),
        norm=norm,
    )
    return read_decoder(config, [layer] * num_layers)


def _attention(config: Config) -> GroupedQuery:
    config.require("use_qk_norm", True)
    config.require("qk_norm_type", "per_layer")
    head_dim = config.integer("head_dim", default=128)
    share = config.integer("rotary_dim", default=head_dim) / head_dim
    rope = read_rope(config, default_theta=5_000_000.0, default_share=share)
    return msgspec.structs.replace(
        read_attention(config, rope=rope, default_head_dim=head_dim),
        query_key_norm=QueryKeyNorm(norm=read_norm(config), over="projection"),
    )


FAMILY: Final = Family(
    model_type="minimax_m2",
    class_names=("MiniMaxM2ForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *HEAD_NORM_RULES,
        *UNNAMED_EXPERT_RULES,
        Rule(
            "model.layers.{layer}.block_sparse_moe.e_score_correction_bias",
            "layers.{layer}.moe.router_correction",
        ),
    ),
    # Layers behind the last one, which predict further tokens and are left out.
    ignored=frozenset({"use_mtp", "num_mtp_modules", "mtp_transformer_layers"}),
    unused=(*BEYOND_THE_LAST_LAYER, "model.mtp"),
)
