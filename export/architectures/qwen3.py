"""Qwen3: the dense sibling of Qwen3-MoE, with normalized heads.

Source: Qwen3 technical report (arXiv:2505.09388) and the model type `qwen3` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    HEAD_NORM_RULES,
    INPUT_BIAS_RULES,
    MULTIMODAL_ROPE_KEYS,
    OUTPUT_BIAS_RULES,
    UNUSED_WINDOW_KEYS,
    read_attention,
    read_dense_decoder,
    read_full_attention_only,
    read_norm,
    read_rope,
)
from export.checkpoint.config import Config
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    config.require("use_sliding_window", False)
    read_full_attention_only(config)
    attention = msgspec.structs.replace(
        read_attention(
            config,
            rope=read_rope(config, harmless=MULTIMODAL_ROPE_KEYS),
            default_head_dim=128,
            default_bias=False,
        ),
        query_key_norm=QueryKeyNorm(norm=read_norm(config), over="head"),
    )
    return read_dense_decoder(config, attention)


FAMILY: Final = Family(
    model_type="qwen3",
    class_names=("Qwen3ForCausalLM",),
    read_spec=read_spec,
    text_types=("qwen3_vl_text",),
    rules=(
        *DECODER_RULES,
        *INPUT_BIAS_RULES,
        *OUTPUT_BIAS_RULES,
        *HEAD_NORM_RULES,
        *GATED_MLP_RULES,
    ),
    ignored=UNUSED_WINDOW_KEYS,
)
