"""ERNIE 4.5: corrected softmax scores, shared experts, neighbours rotated.

Source: ERNIE 4.5 technical report (Baidu 2025) and the model type `ernie4_5_moe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    EXPERT_RULES,
    GATED_MLP_RULES,
    SHARED_EXPERTS_RULES,
    read_attention,
    read_decoder,
    read_norm,
    read_rope,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Dense, Layer, SharedExpert, SparseMoE
from export.spec.routers import ScoredRouter


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("use_bias", False)
    norm = read_norm(config, default_epsilon=1e-5)
    rope = msgspec.structs.replace(read_rope(config, default_theta=500000.0), interleaved=True)
    attention = read_attention(config, rope=rope)
    experts = _experts(config)
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    layers = [
        Layer(attention=attention, feed_forward=experts if sparse else dense, norm=norm)
        for sparse in _sparse_layers(config)
    ]
    return read_decoder(config, layers, tied_by_default=True)


def _experts(config: Config) -> SparseMoE:
    size = config.integer("moe_intermediate_size")
    num_shared = config.integer("moe_num_shared_experts", default=2, minimum=0)
    shared = SharedExpert(intermediate_size=num_shared * size, gate="none")
    chosen = config.integer(config.spelling("moe_k", "num_experts_per_tok"))
    return SparseMoE(
        num_experts=config.integer(config.spelling("moe_num_experts", "num_experts")),
        moe_intermediate_size=size,
        router=ScoredRouter(
            num_experts_per_tok=chosen,
            score="softmax",
            renormalize=True,
            scale=1.0,
            correction=True,
            groups=None,
        ),
        shared=shared if num_shared else None,
    )


def _sparse_layers(config: Config) -> list[bool]:
    num_layers = config.integer("num_hidden_layers")
    step = config.integer("moe_layer_interval", default=1)
    first = config.integer("moe_layer_start_index", default=1, minimum=0)
    last = config.integer("moe_layer_end_index", default=-1, minimum=-1)
    last = num_layers - 1 if last == -1 else last
    return [first <= index <= last and (index + 1) % step == 0 for index in range(num_layers)]


FAMILY: Final = Family(
    model_type="ernie4_5_moe",
    class_names=("Ernie4_5_MoeForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *GATED_MLP_RULES,
        *EXPERT_RULES,
        *SHARED_EXPERTS_RULES,
        Rule(
            "model.layers.{layer}.mlp.moe_statics.e_score_correction_bias",
            "layers.{layer}.moe.router_correction",
            has_leading_one=True,
        ),
    ),
    # How experts were balanced in training; a floor under the sum of weights, far below any.
    ignored=frozenset({"moe_capacity", "moe_norm_min", "moe_use_aux_free"}),
    unused=("mtp", "model.mtp"),
)
