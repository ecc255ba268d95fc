"""StarCoder2: layer norms, an ungated feed-forward part, and biases everywhere.

Source: StarCoder 2 (arXiv:2402.19173) and the model type `starcoder2` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    INPUT_BIAS_RULES,
    NORM_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_decoder,
    read_shared_window,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Layer, LayerNorm, Ungated


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "gelu_pytorch_tanh")
    # Published configs kept this key of an older family; `hidden_act` decides.
    config.require("activation_function", "gelu_pytorch_tanh", "gelu")
    config.require("norm_type", "layer_norm")
    config.require("mlp_type", "default")
    has_bias = config.boolean("use_bias", default=True)
    layer = Layer(
        attention=msgspec.structs.replace(
            read_attention(config),
            input_bias=has_bias,
            output_bias=has_bias,
            window=read_shared_window(config),
        ),
        feed_forward=Ungated(
            intermediate_size=config.integer("intermediate_size"),
            activation="gelu_tanh",
            bias=has_bias,
        ),
        norm=LayerNorm(epsilon=config.number("norm_epsilon", default=1e-5)),
    )
    layers = [layer] * config.integer("num_hidden_layers")
    return read_decoder(config, layers, tied_by_default=True)


FAMILY: Final = Family(
    model_type="starcoder2",
    class_names=("Starcoder2ForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *NORM_BIAS_RULES,
        *INPUT_BIAS_RULES,
        *OUTPUT_BIAS_RULES,
        *(
            Rule(
                f"model.layers.{{layer}}.mlp.{name}.{kind}", f"layers.{{layer}}.mlp.{slot}{suffix}"
            )
            for name, slot in (("c_fc", "up"), ("c_proj", "down"))
            for kind, suffix in (("weight", ""), ("bias", "_bias"))
        ),
    ),
)
