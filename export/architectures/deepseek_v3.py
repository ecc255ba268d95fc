"""DeepSeek-V3 and R1: V2's latent attention and experts, chosen by corrected sigmoid scores.

Source: DeepSeek-V3 (arXiv:2412.19437) and the model type `deepseek_v3` of transformers.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.common.latent import LATENT_RULES, OTHER_RULES, read_latent_attention
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
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    return read_routed_decoder(
        config,
        read_latent_attention(config),
        read_sigmoid_router(config, default_scale=2.5, default_groups=(8, 4)),
        default_first_dense=3,
        default_shared=1,
    )


FAMILY: Final = Family(
    model_type="deepseek_v3",
    class_names=("DeepseekV3ForCausalLM",),
    read_spec=read_spec,
    rules=(*OTHER_RULES, *LATENT_RULES, *ROUTED_RULES, *CORRECTION_RULES),
    ignored=IGNORED_KEYS,
    unused=BEYOND_THE_LAST_LAYER,
    predicting=BEHIND_THE_LAST_LAYER,
)
