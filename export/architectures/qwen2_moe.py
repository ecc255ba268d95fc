"""Qwen2-MoE: biased attention inputs, top-k experts beside a shared one with a gate of its own.

Source: Qwen2 technical report (arXiv:2407.10671) and the model type `qwen2_moe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    EXPERT_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    UNUSED_WINDOW_KEYS,
    read_attention,
    read_decoder,
    read_norm,
    sparse_layers,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Dense, Layer, SharedExpert, SparseMoE
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("use_sliding_window", False)
    attention = msgspec.structs.replace(
        read_attention(config), input_bias=config.boolean("qkv_bias", default=True)
    )
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    experts = _experts(config)
    norm = read_norm(config)
    return read_decoder(
        config,
        [
            Layer(attention=attention, feed_forward=experts if sparse else dense, norm=norm)
            for sparse in sparse_layers(config)
        ],
    )


def _experts(config: Config) -> SparseMoE:
    return SparseMoE(
        num_experts=config.integer("num_experts"),
        moe_intermediate_size=config.integer("moe_intermediate_size"),
        router=Router(
            num_experts_per_tok=config.integer("num_experts_per_tok"),
            renormalize=config.boolean("norm_topk_prob", default=False),
        ),
        shared=read_shared_expert(config),
    )


def read_shared_expert(config: Config) -> SharedExpert:
    return SharedExpert(
        intermediate_size=config.integer("shared_expert_intermediate_size"), gate="sigmoid"
    )


SHARED_EXPERT_RULES: Final = (
    Rule("model.layers.{layer}.mlp.shared_expert_gate.weight", "layers.{layer}.moe.shared.router"),
    *(
        Rule(
            f"model.layers.{{layer}}.mlp.shared_expert.{name}_proj.weight",
            f"layers.{{layer}}.moe.shared.{name}",
        )
        for name in ("gate", "up", "down")
    ),
)


FAMILY: Final = Family(
    model_type="qwen2_moe",
    class_names=("Qwen2MoeForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *INPUT_BIAS_RULES,
        *GATED_MLP_RULES,
        *EXPERT_RULES,
        *SHARED_EXPERT_RULES,
    ),
    ignored=UNUSED_WINDOW_KEYS,
)
