"""Ministral 3 and Devstral Small 2: Mistral's layers, with queries that grow behind long texts.

Source: the models' cards (https://huggingface.co/mistralai) and the model type `ministral3` of
transformers.
"""

from typing import Final

import msgspec

from export.architectures import mistral
from export.architectures.common.family import Family
from export.architectures.common.keys import (
    read_attention,
    read_dense_decoder,
    read_rope,
    read_shared_window,
)
from export.checkpoint.config import Config
from export.spec.attention import QueryScale
from export.spec.decoder import DecoderSpec

SCALING_KEYS: Final = frozenset({"llama_4_scaling_beta", "max_position_embeddings"})
"""Beside the rotation's own: the queries' growth, and the length that the config says again."""


def read_spec(config: Config) -> DecoderSpec:
    attention = msgspec.structs.replace(
        read_attention(config, rope=read_rope(config, harmless=SCALING_KEYS), default_head_dim=128),
        window=read_shared_window(config),
        query_scale=_read_query_scale(config),
    )
    return read_dense_decoder(config, attention)


def _read_query_scale(config: Config) -> QueryScale | None:
    parameters = config.section("rope_parameters")
    if not parameters.has("llama_4_scaling_beta"):
        return None
    return QueryScale(
        beta=parameters.number("llama_4_scaling_beta"),
        period=parameters.integer("original_max_position_embeddings"),
    )


FAMILY: Final = Family(
    model_type="ministral3",
    class_names=("Ministral3ForCausalLM",),
    read_spec=read_spec,
    rules=mistral.FAMILY.rules,
)
