"""Gemma and CodeGemma: embeddings scaled, dense layers gated by gelu.

Source: Gemma (arXiv:2403.08295) and the model type `gemma` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_decoder,
)
from export.architectures.gemma2 import read_gemma_norm
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, Dense, Layer


def read_spec(config: Config) -> DecoderSpec:
    # The first configs said `gelu` and meant the approximation that the models were trained with.
    config.require("hidden_act", "gelu_pytorch_tanh", "gelu")
    config.require("hidden_activation", "gelu_pytorch_tanh", "gelu")
    config.require("use_bidirectional_attention", False)
    layer = Layer(
        attention=read_attention(
            config, default_head_dim=256, default_theta=10_000.0, default_bias=False
        ),
        feed_forward=Dense(
            intermediate_size=config.integer("intermediate_size"), activation="gelu_tanh"
        ),
        norm=read_gemma_norm(config),
    )
    layers = [layer] * config.integer("num_hidden_layers")
    spec = read_decoder(config, layers, tied_by_default=True)
    return msgspec.structs.replace(spec, embedding_scale=spec.hidden_size**0.5)


FAMILY: Final = Family(
    model_type="gemma",
    class_names=("GemmaForCausalLM",),
    read_spec=read_spec,
    rules=(*DECODER_RULES, *INPUT_BIAS_RULES, *OUTPUT_BIAS_RULES, *GATED_MLP_RULES),
)
