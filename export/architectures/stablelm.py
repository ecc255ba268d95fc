"""StableLM and Stable Code 3B: layer norms, and a quarter of each head rotated.

Source: the model's report (https://huggingface.co/stabilityai/stablelm-3b-4e1t) and the model type
`stablelm` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    NORM_BIAS_RULES,
    read_attention,
    read_decoder,
    read_rope,
)
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, Dense, Layer, LayerNorm


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    # StableLM 2 12B adds both parts to the same stream, and norms each head by weights of its own.
    config.require("use_parallel_residual", False)
    config.require("qk_layernorm", False)
    rope = read_rope(config, default_theta=10_000.0, default_share=0.25)
    layer = Layer(
        attention=msgspec.structs.replace(
            read_attention(config, rope=rope),
            input_bias=config.boolean("use_qkv_bias", default=False),
        ),
        feed_forward=Dense(intermediate_size=config.integer("intermediate_size")),
        norm=LayerNorm(epsilon=config.number("layer_norm_eps", default=1e-5)),
    )
    return read_decoder(config, [layer] * config.integer("num_hidden_layers"))


FAMILY: Final = Family(
    model_type="stablelm",
    class_names=("StableLmForCausalLM",),
    read_spec=read_spec,
    rules=(*DECODER_RULES, *NORM_BIAS_RULES, *INPUT_BIAS_RULES, *GATED_MLP_RULES),
)
