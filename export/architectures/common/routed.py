"""The config keys and tensor names of DeepSeek's experts, which other families took over.

The first layers are dense; the others have shared experts and routed ones, chosen in groups.
"""

from typing import Final, Literal

from export.architectures.common.keys import (
    EXPERT_RULES,
    GATED_MLP_RULES,
    SHARED_EXPERTS_RULES,
    read_decoder,
    read_layer_types,
    read_norm,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import CheckpointError
from export.spec.decoder import (
    Attention,
    DecoderSpec,
    Dense,
    FeedForward,
    Layer,
    SharedExpert,
    SparseMoE,
)
from export.spec.routers import AnyRouter, ExpertGroups, ScoredRouter

ROUTED_RULES: Final = (*GATED_MLP_RULES, *EXPERT_RULES, *SHARED_EXPERTS_RULES)

CORRECTION_RULES: Final = (
    Rule(
        "model.layers.{layer}.mlp.gate.e_score_correction_bias",
        "layers.{layer}.moe.router_correction",
    ),
)

IGNORED_KEYS: Final = frozenset(
    {
        # Of groups where there is one, or none is used.
        "n_group",
        "topk_group",
        # Sizes that follow from others.
        "head_dim",
        "qk_head_dim",
        # Layers behind the last one, which predict further tokens: what is there the tensors say.
        "num_mtp_layers",
        "num_nextn_predict_layers",
    }
)

BEYOND_THE_LAST_LAYER: Final = ("model.layers.{num_layers}.",)
"""Tensors of the layer that predicts the next token but one."""


def read_routed_decoder(
    config: Config,
    attention: Attention,
    router: AnyRouter,
    *,
    default_first_dense: int,
    default_shared: int,
) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("mlp_bias", False)
    config.require("moe_layer_freq", 1)
    norm = read_norm(config)
    parts: dict[str, FeedForward] = {
        "dense": Dense(intermediate_size=config.integer("intermediate_size")),
        "sparse": _experts(config, router, default_shared),
    }
    num_dense = config.integer("first_k_dense_replace", default=default_first_dense, minimum=0)
    num_sparse = max(config.integer("num_hidden_layers") - num_dense, 0)
    default = ["dense"] * num_dense + ["sparse"] * num_sparse
    # transformers 5 writes the same as a list.
    kinds = read_layer_types(config, "mlp_layer_types", tuple(parts), default=default)
    return read_decoder(
        config, [Layer(attention=attention, feed_forward=parts[kind], norm=norm) for kind in kinds]
    )


def read_sigmoid_router(
    config: Config, *, default_scale: float, default_groups: tuple[int, int]
) -> ScoredRouter:
    """Read DeepSeek-V3's: sigmoid scores, a learned correction, groups by their best two.

    `default_groups` is how many groups there are, and how many of them are chosen.
    """
    config.require("scoring_func", "sigmoid")
    config.require("topk_method", "noaux_tc")
    return ScoredRouter(
        num_experts_per_tok=config.integer("num_experts_per_tok"),
        score="sigmoid",
        renormalize=config.boolean("norm_topk_prob", default=True),
        scale=config.number("routed_scaling_factor", default=default_scale),
        correction=True,
        groups=read_groups(config, score="best_two", default=default_groups),
    )


def read_groups(
    config: Config,
    *,
    score: Literal["best", "best_two"],
    default: tuple[int | None, int | None] = (None, None),
) -> ExpertGroups | None:
    """Read groups, None where one holds all experts.

    Raises CheckpointError where experts do not divide into them, or too few could be chosen.
    """
    num_groups = config.integer("n_group", default=default[0])
    num_chosen = config.integer("topk_group", default=default[1])
    if num_groups == 1:
        return None
    num_experts = read_num_experts(config)
    if num_experts % num_groups or num_chosen > num_groups:
        raise CheckpointError(
            f"config.json says n_group = {num_groups} and topk_group = {num_chosen} "
            f"for {num_experts} experts"
        )
    group_size = num_experts // num_groups
    num_wanted = config.integer("num_experts_per_tok")
    if num_wanted > group_size * num_chosen:
        raise CheckpointError(
            f"config.json says num_experts_per_tok = {num_wanted}, yet the chosen groups have "
            f"{group_size * num_chosen} experts"
        )
    return ExpertGroups(
        num_groups=num_groups, group_size=group_size, num_chosen=num_chosen, score=score
    )


def read_num_experts(config: Config) -> int:
    # transformers 5 writes the same number under the other names.
    return config.integer(config.spelling("n_routed_experts", "num_local_experts", "num_experts"))


def _experts(config: Config, router: AnyRouter, default_shared: int) -> SparseMoE:
    size = config.integer("moe_intermediate_size")
    num_shared = config.integer("n_shared_experts", default=default_shared)
    return SparseMoE(
        num_experts=read_num_experts(config),
        moe_intermediate_size=size,
        router=router,
        shared=SharedExpert(intermediate_size=num_shared * size, gate="none"),
    )
