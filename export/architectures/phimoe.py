"""Phi-3.5-MoE: layer norms with biases, and two experts chosen by SparseMixer.

Source: Phi-3 technical report (arXiv:2404.14219) and the model type `phimoe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.family import Family
from export.architectures.shared import (
    DECODER_RULES,
    INPUT_BIAS_RULES,
    NORM_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    UNNAMED_EXPERT_RULES,
    read_attention,
    read_decoder,
    read_shared_window,
)
from export.config import Config
from export.routers import SparseMixer
from export.spec import DecoderSpec, Head, Layer, LayerNorm, SparseMoE
from export.tensors import Rule


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("num_experts_per_tok", 2)
    has_bias = config.boolean("attention_bias", default=False)
    layer = Layer(
        attention=msgspec.structs.replace(
            read_attention(config),
            input_bias=has_bias,
            output_bias=has_bias,
            window=read_shared_window(config),
        ),
        feed_forward=SparseMoE(
            num_experts=config.integer("num_local_experts"),
            moe_intermediate_size=config.integer("intermediate_size"),
            router=SparseMixer(jitter=config.number("router_jitter_noise", default=0.01)),
        ),
        norm=LayerNorm(epsilon=config.number("rms_norm_eps", default=1e-5)),
    )
    spec = read_decoder(config, [layer] * config.integer("num_hidden_layers"))
    head = Head(bias=config.boolean("lm_head_bias", default=False))
    return msgspec.structs.replace(spec, head=head)


FAMILY: Final = Family(
    model_type="phimoe",
    class_name="PhimoeForCausalLM",
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *NORM_BIAS_RULES,
        *INPUT_BIAS_RULES,
        *OUTPUT_BIAS_RULES,
        *UNNAMED_EXPERT_RULES,
        Rule("lm_head.bias", "head_bias"),
    ),
    # Noise, balance and dropout in training.
    ignored=frozenset({"router_aux_loss_coef", "input_jitter_noise", "hidden_dropout"}),
)
