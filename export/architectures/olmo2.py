"""OLMo 2: norms behind attention and feed-forward part, queries and keys normalized as a whole.

Source: 2 OLMo 2 Furious (arXiv:2501.00656) and the model type `olmo2` of transformers.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    HEAD_NORM_RULES,
    INPUT_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_decoder,
    read_norm,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, Dense, GroupedQuery, Layer, Residual
from export.spec.rope import Rope


def read_spec(config: Config) -> DecoderSpec:
    return read_olmo(config, [read_olmo_attention(config)] * config.integer("num_hidden_layers"))


def read_olmo(config: Config, attentions: Sequence[GroupedQuery]) -> DecoderSpec:
    """Read an OLMo with these attentions, one a layer."""
    config.require("hidden_act", "silu")
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    norm = read_norm(config, default_epsilon=1e-5)
    behind = Residual(norm_position="after")
    return read_decoder(
        config,
        [
            Layer(attention=attention, feed_forward=dense, norm=norm, residual=behind)
            for attention in attentions
        ],
    )


def read_olmo_attention(config: Config, *, rope: Rope | None = None) -> GroupedQuery:
    norm = QueryKeyNorm(norm=read_norm(config, default_epsilon=1e-5), over="projection")
    attention = read_attention(config, rope=rope, default_theta=10_000.0, default_bias=False)
    return msgspec.structs.replace(attention, query_key_norm=norm)


OLMO_RULES: Final = (
    *(rule for rule in DECODER_RULES if not rule.slot.endswith(("attention_norm", "forward_norm"))),
    *HEAD_NORM_RULES,
    *INPUT_BIAS_RULES,
    *OUTPUT_BIAS_RULES,
    *GATED_MLP_RULES,
    *(
        Rule(f"model.layers.{{layer}}.post_{name}_layernorm.weight", f"layers.{{layer}}.{slot}")
        for name, slot in (
            ("attention", "attention_output_norm"),
            ("feedforward", "feed_forward_output_norm"),
        )
    ),
)

FAMILY: Final = Family(
    model_type="olmo2",
    class_names=("Olmo2ForCausalLM",),
    read_spec=read_spec,
    rules=OLMO_RULES,
)
