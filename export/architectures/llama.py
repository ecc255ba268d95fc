"""Llama and the many code models made like it: dense layers, a rotation that may be scaled.

Source: Llama 2 (arXiv:2307.09288), Llama 3 (arXiv:2407.21783) and the model type `llama` of
transformers.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_dense_decoder,
)
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    config.require("mlp_bias", False)
    attention = read_attention(config, default_theta=10_000.0, default_bias=False)
    return read_dense_decoder(config, attention)


FAMILY: Final = Family(
    model_type="llama",
    class_names=("LlamaForCausalLM",),
    read_spec=read_spec,
    rules=(*DECODER_RULES, *INPUT_BIAS_RULES, *OUTPUT_BIAS_RULES, *GATED_MLP_RULES),
)
