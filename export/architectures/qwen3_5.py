"""Qwen3.5, dense: Qwen3-Next's mixture of attention and states, whose projections lie apart.

Source: the model type `qwen3_5_text` of transformers.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    HEAD_NORM_RULES,
    read_decoder,
    read_norm,
)
from export.architectures.common.predicting import BESIDE_THE_MODEL
from export.architectures.qwen3_next import delta_rules, read_attention_by_kind, read_kinds
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, Dense, FeedForward, Layer


def read_spec(config: Config) -> DecoderSpec:
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    return read_qwen3_5(config, lambda: dense)


def read_qwen3_5(config: Config, read_feed_forward: Callable[[], FeedForward]) -> DecoderSpec:
    """Read a decoder whose layers differ in their attention only."""
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    config.require("attn_output_gate", True)
    # That of what is read from states, which is silu by another name.
    config.require("output_gate_type", "swish")
    config.require("mlp_only_layers", [])
    # Weights of these norms are kept around zero.
    norm = msgspec.structs.replace(read_norm(config), offset=1.0)
    attention = read_attention_by_kind(config, norm, rows="apart")
    feed_forward = read_feed_forward()
    return read_decoder(
        config,
        [
            Layer(attention=attention[kind], feed_forward=feed_forward, norm=norm)
            for kind in read_kinds(config)
        ],
    )


QWEN3_5_RULES: Final = (
    *DECODER_RULES,
    *HEAD_NORM_RULES,
    *delta_rules(
        [
            ("in_proj_qkv.weight", "query_key_value"),
            ("in_proj_z.weight", "gate"),
            ("in_proj_b.weight", "rate"),
            ("in_proj_a.weight", "decay"),
        ]
    ),
)

QWEN3_5_IGNORED: Final = frozenset(
    {
        # Layers that predict further tokens: what is there of them, the tensors say.
        "mtp_num_hidden_layers",
        "mtp_use_dedicated_embeddings",
        # The number format of states in training; ours is float32.
        "mamba_ssm_dtype",
    }
)

FAMILY: Final = Family(
    model_type="qwen3_5_text",
    class_names=("Qwen3_5ForCausalLM",),
    read_spec=read_spec,
    rules=(*QWEN3_5_RULES, *GATED_MLP_RULES),
    ignored=QWEN3_5_IGNORED,
    unused=("mtp.",),
    predicting=BESIDE_THE_MODEL,
)
