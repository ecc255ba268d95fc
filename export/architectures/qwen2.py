"""Qwen2 and Qwen2.5, the coder models among them: biased attention inputs, dense layers.

Source: Qwen2 technical report (arXiv:2407.10671) and the model type `qwen2` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    MULTIMODAL_ROPE_KEYS,
    UNUSED_WINDOW_KEYS,
    read_attention,
    read_dense_decoder,
    read_full_attention_only,
    read_rope,
)
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    config.require("use_sliding_window", False)
    read_full_attention_only(config)
    rope = read_rope(config, harmless=MULTIMODAL_ROPE_KEYS)
    attention = msgspec.structs.replace(read_attention(config, rope=rope), input_bias=True)
    return read_dense_decoder(config, attention)


FAMILY: Final = Family(
    model_type="qwen2",
    class_names=("Qwen2ForCausalLM",),
    read_spec=read_spec,
    text_types=("qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"),
    rules=(*DECODER_RULES, *INPUT_BIAS_RULES, *GATED_MLP_RULES),
    ignored=UNUSED_WINDOW_KEYS,
)
