"""Ling: Llama's attention before experts and shared ones, behind a head whose columns are alike.

Source: Every FLOP Counts (arXiv:2503.05139) and https://github.com/inclusionAI/Ling, the code
published with the checkpoints.
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
)
from export.architectures.common.routed import ROUTED_RULES
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import (
    DecoderSpec,
    Dense,
    Layer,
    SharedExpert,
    SparseMoE,
)
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("norm_softmax", False)
    config.require("multi_gate", False)
    has_bias = config.boolean("use_bias", default=False)
    attention = msgspec.structs.replace(
        read_attention(config),
        input_bias=config.boolean("use_qkv_bias", default=False),
        output_bias=has_bias,
    )
    norm = read_norm(config)
    experts = _experts(config)
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    num_dense = config.integer("first_k_dense_replace", default=0, minimum=0)
    layers = [
        Layer(attention=attention, feed_forward=dense if index < num_dense else experts, norm=norm)
        for index in range(config.integer("num_hidden_layers"))
    ]
    return read_decoder(config, layers)


def _experts(config: Config) -> SparseMoE:
    size = config.integer("moe_intermediate_size")
    num_chosen = config.integer("num_experts_per_tok")
    num_shared = config.integer("num_shared_experts", default=0, minimum=0)
    shared = SharedExpert(intermediate_size=num_shared * size, gate="none")
    renormalize = config.boolean("norm_topk_prob", default=True)
    return SparseMoE(
        num_experts=config.integer("num_experts"),
        moe_intermediate_size=size,
        # The published code leaves the weight of a single expert as it is.
        router=Router(num_experts_per_tok=num_chosen, renormalize=renormalize and num_chosen > 1),
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
    class_names=("BailingMoeForCausalLM",),
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
        *ROUTED_RULES,
    ),
    further_rules=_further_rules,
    written_back={"norm_head": False},
)
