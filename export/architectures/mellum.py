"""Mellum 2: Qwen3-MoE's layers, some of which see a window only, with a rotation of each kind.

Source: the model type `mellum` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    EXPERT_RULES,
    GATED_MLP_RULES,
    HEAD_NORM_RULES,
    LAYER_TYPES,
    read_attention,
    read_decoder,
    read_layer_rope,
    read_layer_types,
    read_norm,
    read_window,
)
from export.architectures.common.predicting import BESIDE_THE_MODEL
from export.architectures.qwen3_moe import read_experts
from export.checkpoint.config import Config
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import DecoderSpec, Dense, FeedForward, GroupedQuery, Layer

_MLP_TYPES: Final = ("sparse", "dense")


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    norm = read_norm(config)
    config.require("max_window_layers", 0)  # the kinds of layers say which have a window
    kinds = read_layer_types(config, "layer_types", LAYER_TYPES, default=["full_attention"])
    attention = {kind: _attention(config, kind) for kind in set(kinds)}
    feed_forward = _feed_forward(config)
    mlps = read_layer_types(config, "mlp_layer_types", _MLP_TYPES, default=["sparse"])
    return read_decoder(
        config,
        [
            Layer(attention=attention[kind], feed_forward=feed_forward[mlp], norm=norm)
            for kind, mlp in zip(kinds, mlps, strict=True)
        ],
    )


def _feed_forward(config: Config) -> dict[str, FeedForward]:
    return {
        "sparse": read_experts(config, default_norm_topk_prob=True),
        "dense": Dense(intermediate_size=config.integer("intermediate_size")),
    }


def _read_predicting_layer(config: Config, spec: DecoderSpec) -> Layer:
    """Read the one layer that predicts; it sees a window and has experts where nothing says so."""
    kind = (*config.texts("mtp_layer_types"), "sliding_attention")[0]
    mlp = (*config.texts("mtp_mlp_layer_types"), "sparse")[0]
    is_known = config.section("rope_parameters").has(kind) and mlp in _MLP_TYPES
    if not is_known:  # whose tensors then find their places, or do not
        return spec.layers[-1]
    return Layer(
        attention=_attention(config, kind),
        feed_forward=_feed_forward(config)[mlp],
        norm=read_norm(config),
    )


def _attention(config: Config, kind: str) -> GroupedQuery:
    return msgspec.structs.replace(
        read_attention(config, rope=read_layer_rope(config, kind), default_head_dim=128),
        query_key_norm=QueryKeyNorm(norm=read_norm(config), over="head"),
        window=read_window(config, kind),
    )


FAMILY: Final = Family(
    model_type="mellum",
    class_names=("MellumForCausalLM",),
    read_spec=read_spec,
    rules=(*DECODER_RULES, *HEAD_NORM_RULES, *GATED_MLP_RULES, *EXPERT_RULES),
    # A window and rotations that no layer has; layers that predict further tokens.
    ignored=frozenset(
        {
            "mtp_layer_types",
            "mtp_mlp_layer_types",
            "num_mtp_layers",
            "num_nextn_predict_layers",
            "rope_parameters",
            "sliding_window",
        }
    ),
    unused=("mtp.",),
    predicting=msgspec.structs.replace(BESIDE_THE_MODEL, read_layer=_read_predicting_layer),
)
