"""Qwen3-Next: three of four layers keep a state by the gated delta rule, the fourth attends.

Source: the model type `qwen3_next` of transformers; the rule itself is arXiv:2412.06464.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    EXPERT_RULES,
    GATED_MLP_RULES,
    HEAD_NORM_RULES,
    MULTIMODAL_ROPE_KEYS,
    UNUSED_WINDOW_KEYS,
    read_attention,
    read_decoder,
    read_layer_types,
    read_norm,
    read_rope,
    sparse_layers,
)
from export.architectures.common.predicting import BESIDE_THE_MODEL
from export.architectures.qwen2_moe import SHARED_EXPERT_RULES, read_shared_expert
from export.architectures.qwen3_moe import read_experts
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import UnsupportedError
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import Attention, DecoderSpec, Dense, Layer, RmsNorm
from export.spec.recurrence import GatedDelta

KEY_EPSILON: Final = 1e-6
"""Under the root of a key's length; transformers has it in code, not in the config."""


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    config.require("use_sliding_window", False)
    # Weights of these norms are kept around zero.
    norm = msgspec.structs.replace(read_norm(config), offset=1.0)
    attention = read_attention_by_kind(config, norm, rows="by_key_head")
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    experts = msgspec.structs.replace(
        read_experts(config, default_norm_topk_prob=True), shared=read_shared_expert(config)
    )
    return read_decoder(
        config,
        [
            Layer(
                attention=attention[kind], feed_forward=experts if is_sparse else dense, norm=norm
            )
            for kind, is_sparse in zip(read_kinds(config), sparse_layers(config), strict=True)
        ],
    )


def read_kinds(config: Config) -> Sequence[str]:
    interval = config.integer("full_attention_interval", default=4)
    default = ["linear_attention"] * (interval - 1) + ["full_attention"]
    implemented = ("linear_attention", "full_attention")
    kinds = read_layer_types(config, "layer_types", implemented, default=default)
    if "full_attention" not in kinds:
        raise UnsupportedError(
            "config.json has no layer of full_attention; only a mixture with linear_attention is "
            "implemented"
        )
    return kinds


def read_attention_by_kind(
    config: Config, norm: RmsNorm, *, rows: Literal["by_key_head", "apart"]
) -> Mapping[str, Attention]:
    """Read both kinds of layers; `rows` is how those that keep a state store their projections."""
    rope = read_rope(config, default_share=0.25, harmless=MULTIMODAL_ROPE_KEYS)
    full = msgspec.structs.replace(
        read_attention(config, rope=rope, default_head_dim=256),
        query_key_norm=QueryKeyNorm(norm=norm, over="head"),
        output_gate=True,
    )
    linear = GatedDelta(
        num_key_heads=config.integer("linear_num_key_heads"),
        num_value_heads=config.integer("linear_num_value_heads"),
        key_head_dim=config.integer("linear_key_head_dim"),
        value_head_dim=config.integer("linear_value_head_dim"),
        kernel_size=config.integer("linear_conv_kernel_dim", minimum=2),
        norm_epsilon=read_norm(config).epsilon,
        key_epsilon=KEY_EPSILON,
        rows=rows,
    )
    return {"full_attention": full, "linear_attention": linear}


def delta_rules(projections: Sequence[tuple[str, str]]) -> tuple[Rule, ...]:
    """Return the rules of layers that keep a state; projections are named by their families."""
    return tuple(
        Rule(f"model.layers.{{layer}}.linear_attn.{name}", f"layers.{{layer}}.attention.{slot}")
        for name, slot in (
            *projections,
            ("conv1d.weight", "convolution"),
            ("A_log", "decay_log"),
            ("dt_bias", "decay_bias"),
            ("norm.weight", "state_norm"),
            ("out_proj.weight", "state_output"),
        )
    )


FAMILY: Final = Family(
    model_type="qwen3_next",
    class_names=("Qwen3NextForCausalLM",),
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *HEAD_NORM_RULES,
        *delta_rules(
            [("in_proj_qkvz.weight", "query_key_value_gate"), ("in_proj_ba.weight", "rate_decay")]
        ),
        *GATED_MLP_RULES,
        *EXPERT_RULES,
        *SHARED_EXPERT_RULES,
    ),
    ignored=UNUSED_WINDOW_KEYS,
    unused=("mtp.",),
    predicting=BESIDE_THE_MODEL,
)
