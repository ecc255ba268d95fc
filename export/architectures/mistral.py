"""Mistral and Codestral: grouped-query attention over dense layers.

Source: Mistral 7B (arXiv:2310.06825) and the model type `mistral` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    read_attention,
    read_dense_decoder,
    read_shared_window,
)
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    attention = msgspec.structs.replace(read_attention(config), window=read_shared_window(config))
    return read_dense_decoder(config, attention)


FAMILY: Final = Family(
    model_type="mistral",
    class_names=("MistralForCausalLM",),
    read_spec=read_spec,
    rules=(*DECODER_RULES, *GATED_MLP_RULES),
)
