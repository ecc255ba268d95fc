"""GLM-4.7-Flash: DeepSeek-V3's latent attention and experts, in GLM-4.5's sizes.

Source: the model type `glm4_moe_lite` of transformers.
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
        read_latent_attention(config, default_nope=192, default_value=256),
        read_sigmoid_router(config, default_scale=1.8, default_groups=(1, 1)),
        default_first_dense=1,
        default_shared=1,
    )


FAMILY: Final = Family(
    model_type="glm4_moe_lite",
    class_names=("Glm4MoeLiteForCausalLM",),
    read_spec=read_spec,
    rules=(*OTHER_RULES, *LATENT_RULES, *ROUTED_RULES, *CORRECTION_RULES),
    ignored=IGNORED_KEYS,
    unused=BEYOND_THE_LAST_LAYER,
    predicting=BEHIND_THE_LAST_LAYER,
)
