"""Mixtral: grouped-query attention, renormalized top-k experts in every layer.

Source: Mixtral of Experts (arXiv:2401.04088) and the model type `mixtral` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    UNNAMED_EXPERT_RULES,
    read_attention,
    read_decoder,
    read_norm,
    read_shared_window,
)
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, Layer, SparseMoE
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    layer = Layer(
        attention=msgspec.structs.replace(
            read_attention(config), window=read_shared_window(config)
        ),
        feed_forward=SparseMoE(
            num_experts=config.integer("num_local_experts"),
            moe_intermediate_size=config.integer("intermediate_size"),
            router=Router(
                num_experts_per_tok=config.integer("num_experts_per_tok"), renormalize=True
            ),
        ),
        norm=read_norm(config, default_epsilon=1e-5),
    )
    return read_decoder(config, [layer] * config.integer("num_hidden_layers"))


FAMILY: Final = Family(
    model_type="mixtral",
    class_names=("MixtralForCausalLM",),
    read_spec=read_spec,
    rules=(*DECODER_RULES, *UNNAMED_EXPERT_RULES),
)
