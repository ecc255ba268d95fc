"""OLMoE: queries and keys normalized as a whole, top-k experts whose weights are not renormalized.

Source: OLMoE (arXiv:2409.02060) and the model type `olmoe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    EXPERT_RULES,
    HEAD_NORM_RULES,
    read_attention,
    read_decoder,
    read_norm,
)
from export.checkpoint.config import Config
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, Layer, SparseMoE
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    norm = read_norm(config, default_epsilon=1e-5)
    layer = Layer(
        attention=msgspec.structs.replace(
            read_attention(config), query_key_norm=QueryKeyNorm(norm=norm, over="projection")
        ),
        feed_forward=SparseMoE(
            num_experts=config.integer("num_experts"),
            moe_intermediate_size=config.integer("intermediate_size"),
            router=Router(
                num_experts_per_tok=config.integer("num_experts_per_tok"),
                renormalize=config.boolean("norm_topk_prob", default=False),
            ),
        ),
        norm=norm,
    )
    return read_decoder(config, [layer] * config.integer("num_hidden_layers"))


FAMILY: Final = Family(
    model_type="olmoe",
    class_names=("OlmoeForCausalLM",),
    read_spec=read_spec,
    rules=(*DECODER_RULES, *HEAD_NORM_RULES, *EXPERT_RULES),
)
