"""DeepSeek-V2: latent attention, shared experts, dense first layers, experts chosen in groups.

Source: DeepSeek-V2 (arXiv:2405.04434) and the model type `deepseek_v2` of transformers.
"""

from typing import Final

from export.architectures.family import Family
from export.architectures.latent import LATENT_RULES, read_latent_attention
from export.architectures.shared import (
    DECODER_RULES,
    EXPERT_RULES,
    GATED_MLP_RULES,
    SHARED_EXPERTS_RULES,
    read_decoder,
    read_norm,
)
from export.config import Config
from export.spec import DecoderSpec, Dense, Layer, Router, SharedExpert, SparseMoE


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("mlp_bias", False)
    config.require("moe_layer_freq", 1)
    norm = read_norm(config)
    attention = read_latent_attention(config)
    experts = _experts(config)
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    num_dense = config.integer("first_k_dense_replace", default=0, minimum=0)
    return read_decoder(
        config,
        [
            Layer(
                attention=attention,
                feed_forward=dense if index < num_dense else experts,
                norm=norm,
            )
            for index in range(config.integer("num_hidden_layers"))
        ],
    )


def _experts(config: Config) -> SparseMoE:
    size = config.integer("moe_intermediate_size")
    num_shared = config.integer("n_shared_experts", default=2)
    return SparseMoE(
        num_experts=config.integer(config.spelling("n_routed_experts", "num_experts")),
        moe_intermediate_size=size,
        router=_router(config),
        shared=SharedExpert(intermediate_size=num_shared * size, gate="none"),
    )


def _router(config: Config) -> Router:
    config.require("scoring_func", "softmax")
    config.require("norm_topk_prob", False)
    config.require("topk_method", "greedy")
    return Router(num_experts_per_tok=config.integer("num_experts_per_tok"), renormalize=False)


FAMILY: Final = Family(
    model_type="deepseek_v2",
    class_name="DeepseekV2ForCausalLM",
    read_spec=read_spec,
    rules=(
        *(rule for rule in DECODER_RULES if "self_attn" not in rule.pattern),
        *LATENT_RULES,
        *GATED_MLP_RULES,
        *EXPERT_RULES,
        *SHARED_EXPERTS_RULES,
    ),
    # How experts were balanced and spread in training; sizes that follow from others.
    ignored=frozenset(
        {
            "aux_loss_alpha",
            "ep_size",
            "head_dim",
            "pretraining_tp",
            "qk_head_dim",
            "router_aux_loss_coef",
            "seq_aux",
            "n_group",
            "topk_group",
        }
    ),
)
