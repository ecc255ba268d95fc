"""SmolLM3: Llama's dense layers, every fourth of which rotates nothing.

Source: the model's card (https://huggingface.co/HuggingFaceTB/SmolLM3-3B), layers without positions
(arXiv:2501.18795) and the model type `smollm3` of transformers.
"""

from typing import Final

import msgspec

from export.architectures import llama
from export.architectures.common.family import Family
from export.architectures.common.keys import (
    UNUSED_WINDOW_KEYS,
    read_attention,
    read_decoder,
    read_full_attention_only,
    read_norm,
)
from export.checkpoint.config import Config
from export.errors import CheckpointError
from export.spec.decoder import DecoderSpec, Dense, Layer


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("mlp_bias", False)
    config.require("use_sliding_window", False)
    read_full_attention_only(config)
    attention = read_attention(config, default_theta=2_000_000.0, default_bias=False)
    unrotated = msgspec.structs.replace(attention, rope=None)
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    norm = read_norm(config)
    layers = [
        Layer(attention=attention if has_rope else unrotated, feed_forward=dense, norm=norm)
        for has_rope in _rotated_layers(config)
    ]
    return read_decoder(config, layers, tied_by_default=True)


def _rotated_layers(config: Config) -> list[bool]:
    """Say of each layer whether it rotates: by a list of ones and zeros, or by their interval."""
    num_layers = config.integer("num_hidden_layers")
    interval = config.integer("no_rope_layer_interval", default=4)
    listed = config.integers("no_rope_layers")
    if not listed:
        return [(index + 1) % interval != 0 for index in range(num_layers)]
    if len(listed) < num_layers or not set(listed) <= {0, 1}:
        raise CheckpointError(
            f"config.json says no_rope_layers = {list(listed)}, which is not a one or a zero for "
            f"each of {num_layers} layers"
        )
    return [has_rope == 1 for has_rope in listed[:num_layers]]


FAMILY: Final = Family(
    model_type="smollm3",
    class_names=("SmolLM3ForCausalLM",),
    read_spec=read_spec,
    rules=llama.FAMILY.rules,
    ignored=UNUSED_WINDOW_KEYS,
)
