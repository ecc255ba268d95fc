"""Granite: Llama's dense layers with embeddings, scores, residuals and logits scaled.

Source: Granite 3.0 (https://github.com/ibm-granite/granite-3.0-language-models, the report) and
the model type `granite` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.family import Family
from export.architectures.shared import (
    DECODER_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_dense_decoder,
)
from export.config import Config
from export.spec import DecoderSpec, Head, Residual


def read_spec(config: Config) -> DecoderSpec:
    config.require("mlp_bias", False)
    has_bias = config.boolean("attention_bias", default=False)
    attention = msgspec.structs.replace(
        read_attention(config, default_theta=10_000.0),
        input_bias=has_bias,
        output_bias=has_bias,
        scale=config.number("attention_multiplier", default=1.0),
    )
    spec = read_dense_decoder(config, attention)
    residual = Residual(scale=config.number("residual_multiplier", default=1.0))
    return msgspec.structs.replace(
        spec,
        layers=tuple(msgspec.structs.replace(layer, residual=residual) for layer in spec.layers),
        embedding_scale=config.number("embedding_multiplier", default=1.0),
        head=Head(scale=1.0 / config.number("logits_scaling", default=1.0)),
    )


FAMILY: Final = Family(
    model_type="granite",
    class_name="GraniteForCausalLM",
    read_spec=read_spec,
    rules=(*DECODER_RULES, *INPUT_BIAS_RULES, *OUTPUT_BIAS_RULES, *GATED_MLP_RULES),
    ignored=frozenset(),
)
