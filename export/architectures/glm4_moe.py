"""GLM-4.5 and its kin: DeepSeek-V3's experts behind grouped-query attention, half of it rotated.

Source: GLM-4.5 (arXiv:2508.06471) and the model type `glm4_moe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    HEAD_NORM_RULES,
    INPUT_BIAS_RULES,
    read_attention,
    read_norm,
    read_rope,
)
from export.architectures.common.predicting import BEHIND_THE_LAST_LAYER
from export.architectures.common.routed import (
    BEYOND_THE_LAST_LAYER,
    CORRECTION_RULES,
    IGNORED_KEYS,
    ROUTED_RULES,
    read_routed_decoder,
    read_sigmoid_router,
)
from export.checkpoint.config import Config
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, GroupedQuery


def read_spec(config: Config) -> DecoderSpec:
    return read_routed_decoder(
        config,
        _attention(config),
        read_sigmoid_router(config, default_scale=1.0, default_groups=(1, 1)),
        default_first_dense=1,
        default_shared=1,
    )


def _attention(config: Config) -> GroupedQuery:
    norm = QueryKeyNorm(norm=read_norm(config), over="head")
    return msgspec.structs.replace(
        read_attention(config, rope=read_rope(config, default_share=0.5)),
        query_key_norm=norm if config.boolean("use_qk_norm", default=False) else None,
        input_bias=config.boolean("attention_bias", default=False),
    )


FAMILY: Final = Family(
    model_type="glm4_moe",
    class_names=("Glm4MoeForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *INPUT_BIAS_RULES,
        *HEAD_NORM_RULES,
        *ROUTED_RULES,
        *CORRECTION_RULES,
    ),
    ignored=IGNORED_KEYS,
    unused=BEYOND_THE_LAST_LAYER,
    predicting=BEHIND_THE_LAST_LAYER,
)
