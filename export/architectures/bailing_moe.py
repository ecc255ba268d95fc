"""Ling and Ling 2: projections in one tensor before experts and shared ones.

The first brings the columns of its head to one length; the second normalizes heads, rotates half of
them and chooses experts as DeepSeek-V3 does.

Source: Every FLOP Counts (arXiv:2503.05139), Every Activation Boosted (arXiv:2510.22115) and the
code published with the checkpoints, https://github.com/inclusionAI/Ling.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.fused import query_key_value_rules
from export.architectures.common.keys import (
    DECODER_RULES,
    read_attention,
    read_decoder,
    read_norm,
    read_rope,
)
from export.architectures.common.routed import (
    BEYOND_THE_LAST_LAYER,
    ROUTED_RULES,
    read_sigmoid_router,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import (
    DecoderSpec,
    Dense,
    GroupedQuery,
    Layer,
    SharedExpert,
    SparseMoE,
)
from export.spec.routers import AnyRouter, Router

SECOND_CLASS: Final = "BailingMoeV2ForCausalLM"
"""What tells the second from the first: its checkpoints may say the same model_type."""


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("norm_softmax", False)
    config.require("multi_gate", False)
    config.require("use_rmsnorm", True)
    config.require("using_split_qkv_in_self_attention", False)
    is_second = SECOND_CLASS in config.texts("architectures")
    attention, norm = _attention(config, is_second=is_second), read_norm(config)
    experts = _experts(config, _second_router(config) if is_second else _first_router(config))
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    num_dense = config.integer("first_k_dense_replace", default=0, minimum=0)
    layers = [
        Layer(attention=attention, feed_forward=dense if index < num_dense else experts, norm=norm)
        for index in range(config.integer("num_hidden_layers"))
    ]
    return read_decoder(config, layers)


def _attention(config: Config, *, is_second: bool) -> GroupedQuery:
    rope = read_rope(config, default_share=0.5) if is_second else read_rope(config)
    attention = msgspec.structs.replace(
        read_attention(config, rope=rope),
        input_bias=config.boolean("use_qkv_bias", default=False),
        output_bias=config.boolean("use_bias", default=False),
    )
    config.require("rotary_dim", attention.rotary_dim)
    if not is_second or not config.boolean("use_qk_norm", default=True):
        return attention
    norm = QueryKeyNorm(norm=read_norm(config), over="head")
    return msgspec.structs.replace(attention, query_key_norm=norm)


def _first_router(config: Config) -> Router:
    num_chosen = config.integer("num_experts_per_tok")
    renormalize = config.boolean("norm_topk_prob", default=True)
    # The published code leaves the weight of a single expert as it is.
    return Router(num_experts_per_tok=num_chosen, renormalize=renormalize and num_chosen > 1)


def _second_router(config: Config) -> AnyRouter:
    config.require("score_function", "sigmoid")
    config.require("moe_router_enable_expert_bias", True)
    return read_sigmoid_router(config, default_scale=2.5, default_groups=(8, 4))


def _experts(config: Config, router: AnyRouter) -> SparseMoE:
    size = config.integer("moe_intermediate_size")
    num_shared = config.integer("num_shared_experts", default=0, minimum=0)
    config.require("moe_shared_expert_intermediate_size", num_shared * size)
    shared = SharedExpert(intermediate_size=num_shared * size, gate="none")
    return SparseMoE(
        num_experts=config.integer("num_experts"),
        moe_intermediate_size=size,
        router=router,
        shared=shared if num_shared else None,
    )


def _further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    heads = query_key_value_rules(
        spec,
        "model.layers.{layer}.attention.query_key_value",
        order="behind",
        kinds=("weight", "bias"),
    )
    # The published code does so once, before the first logits, so a package holds what it made.
    is_brought_to_one = config.boolean("norm_head", default=False)
    return (*heads, Rule("lm_head.weight", "head", unit_columns=is_brought_to_one))


FAMILY: Final = Family(
    model_type="bailing_moe",
    class_names=("BailingMoeForCausalLM", SECOND_CLASS),
    text_types=("bailing_moe_v2",),
    read_spec=read_spec,
    rules=(
        Rule("model.word_embeddings.weight", "embedding"),
        *(
            rule
            for rule in DECODER_RULES
            if rule.slot not in {"embedding", "head"} and ".attention." not in rule.slot
        ),
        Rule("model.layers.{layer}.attention.dense.weight", "layers.{layer}.attention.output"),
        Rule("model.layers.{layer}.attention.dense.bias", "layers.{layer}.attention.output_bias"),
        *(
            Rule(
                f"model.layers.{{layer}}.attention.{name}_layernorm.weight",
                f"layers.{{layer}}.attention.{name}_norm",
            )
            for name in ("query", "key")
        ),
        *ROUTED_RULES,
        Rule("model.layers.{layer}.mlp.gate.expert_bias", "layers.{layer}.moe.router_correction"),
    ),
    further_rules=_further_rules,
    written_back={"norm_head": False},
    # In what a router computes, which is float32 here; layers that predict further tokens.
    ignored=frozenset({"router_dtype", "num_nextn_predict_layers", "mtp_loss_scaling_factor"}),
    unused=BEYOND_THE_LAST_LAYER,
)
