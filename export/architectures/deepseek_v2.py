"""DeepSeek-V2: latent attention, shared experts, dense first layers, experts chosen in groups.

Source: DeepSeek-V2 (arXiv:2405.04434) and the model type `deepseek_v2` of transformers.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.common.latent import LATENT_RULES, OTHER_RULES, read_latent_attention
from export.architectures.common.routed import (
    IGNORED_KEYS,
    ROUTED_RULES,
    read_groups,
    read_routed_decoder,
)
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec
from export.spec.routers import Router, ScoredRouter


def read_spec(config: Config) -> DecoderSpec:
    return read_routed_decoder(
        config,
        read_latent_attention(config),
        _router(config),
        default_first_dense=0,
        default_shared=2,
    )


def _router(config: Config) -> Router | ScoredRouter:
    config.require("scoring_func", "softmax")
    config.require("norm_topk_prob", False)
    config.require("topk_method", "greedy", "group_limited_greedy")
    num_chosen = config.integer("num_experts_per_tok")
    scale = config.number("routed_scaling_factor", default=1.0)
    has_groups = config.text("topk_method", default="greedy") == "group_limited_greedy"
    groups = read_groups(config, score="best") if has_groups else None
    if groups is None and scale == 1.0:
        return Router(num_experts_per_tok=num_chosen, renormalize=False)
    return ScoredRouter(
        num_experts_per_tok=num_chosen,
        score="softmax",
        renormalize=False,
        scale=scale,
        correction=False,
        groups=groups,
    )


FAMILY: Final = Family(
    model_type="deepseek_v2",
    class_names=("DeepseekV2ForCausalLM",),
    read_spec=read_spec,
    rules=(*OTHER_RULES, *LATENT_RULES, *ROUTED_RULES),
    ignored=IGNORED_KEYS,
)
