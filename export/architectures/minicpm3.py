"""MiniCPM3: latent attention over dense layers, with embeddings, parts and logits scaled.

Source: MiniCPM (arXiv:2404.06395), whose scales these are, and the model type `minicpm3` of
transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    GATED_MLP_RULES,
    read_decoder,
    read_norm,
    read_rope,
)
from export.architectures.common.latent import LATENT_RULES, OTHER_RULES, read_latent_attention
from export.architectures.common.longrope import (
    attention_factor,
    is_long,
    original_length,
    read_long_rope,
    rotation,
)
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, Dense, Head, Layer, Residual
from export.spec.rope import Rope

DEFAULT_THETA: Final = 10_000.0


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("mlp_bias", False)
    num_layers, hidden_size = config.integer("num_hidden_layers"), config.integer("hidden_size")
    layer = Layer(
        attention=read_latent_attention(
            config,
            rope=_read_rope(config),
            default_nope=64,
            default_value=hidden_size // config.integer("num_attention_heads"),
            default_interleaved=False,
        ),
        feed_forward=Dense(intermediate_size=config.integer("intermediate_size")),
        norm=read_norm(config, default_epsilon=1e-5),
        residual=Residual(scale=config.number("scale_depth", default=1.4) * num_layers**-0.5),
    )
    spec = read_decoder(config, [layer] * num_layers, tied_by_default=True)
    return msgspec.structs.replace(
        spec,
        embedding_scale=config.number("scale_emb", default=12.0),
        head=Head(scale=config.number("dim_model_base", default=256.0) / hidden_size),
        max_position_embeddings=_context_length(config),
    )


def _read_rope(config: Config) -> Rope:
    if not is_long(rotation(config)):
        return read_rope(config, default_theta=DEFAULT_THETA)
    factor = attention_factor(config, original_length(config))
    return read_long_rope(config, attention_factor=factor, theta=DEFAULT_THETA)


def _context_length(config: Config) -> int:
    limit = config.integer("max_position_embeddings")
    return min(limit, original_length(config)) if is_long(rotation(config)) else limit


FAMILY: Final = Family(
    model_type="minicpm3",
    class_names=("MiniCPM3ForCausalLM",),
    read_spec=read_spec,
    rules=(*OTHER_RULES, *LATENT_RULES, *GATED_MLP_RULES),
    # Sizes that follow from others.
    ignored=frozenset({"head_dim", "qk_head_dim"}),
)
