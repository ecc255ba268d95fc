"""Gemma 3, text only: normalized heads, mostly windowed layers, a rotation for each kind of them.

Source: Gemma 3 (arXiv:2503.19786) and the model type `gemma3_text` of transformers.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    HEAD_NORM_RULES,
    LAYER_TYPES,
    read_layer_rope,
    read_layer_types,
    read_rope,
)
from export.architectures.gemma2 import (
    GEMMA_RULES,
    read_gemma,
    read_gemma_attention,
    read_gemma_norm,
)
from export.checkpoint.config import Config
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, GroupedQuery
from export.spec.rope import Rope

GLOBAL_THETA: Final = 1_000_000.0
LOCAL_THETA: Final = 10_000.0


def read_spec(config: Config) -> DecoderSpec:
    def attention(kind: str) -> GroupedQuery:
        return msgspec.structs.replace(
            read_gemma_attention(config, kind, rope=_read_rope(config, kind)),
            query_key_norm=QueryKeyNorm(norm=read_gemma_norm(config), over="head"),
        )

    step = config.integer(
        config.spelling("sliding_window_pattern", "_sliding_window_pattern"), default=6
    )
    pattern = ["sliding_attention"] * (step - 1) + ["full_attention"]
    kinds = read_layer_types(config, "layer_types", LAYER_TYPES, default=pattern)
    return read_gemma(config, attention, kinds)


def _read_rope(config: Config, kind: str) -> Rope:
    """Read one kind's rotation, spelled at the top or, by transformers 5, for each kind."""
    if config.section("rope_parameters").has(kind):
        return read_layer_rope(config, kind)
    if kind == "full_attention":
        return read_rope(config, default_theta=GLOBAL_THETA)
    return Rope(theta=config.number("rope_local_base_freq", default=LOCAL_THETA))


TEXT_DEFAULTS: Final[Mapping[str, object]] = {
    "vocab_size": 262_208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 131_072,
    "sliding_window": 4096,
}
"""What the published models that also see leave out of their `text_config`."""

FAMILY: Final = Family(
    model_type="gemma3_text",
    class_names=("Gemma3ForCausalLM",),
    read_spec=read_spec,
    text_defaults=TEXT_DEFAULTS,
    rules=(*GEMMA_RULES, *HEAD_NORM_RULES),
    # A window that no layer has; spellings of what was read under another name.
    ignored=frozenset(
        {
            "sliding_window",
            "sliding_window_pattern",
            "_sliding_window_pattern",
            "rope_local_base_freq",
        }
    ),
)
