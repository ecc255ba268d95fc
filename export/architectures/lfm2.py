"""LFM2: short convolutions, and attention with normalized heads in some layers.

Source: LFM2 (arXiv:2511.23404) and the model type `lfm2` of transformers.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import read_attention, read_decoder, read_layer_types
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import UnsupportedError
from export.spec.attention import QueryKeyNorm
from export.spec.decoder import Attention, DecoderSpec, Dense, FeedForward, Layer, RmsNorm
from export.spec.recurrence import ShortConvolution


def read_spec(config: Config) -> DecoderSpec:
    dense = Dense(intermediate_size=_intermediate_size(config))
    default = config.integers("full_attn_idxs")
    return read_lfm(config, [dense] * config.integer("num_hidden_layers"), attending=default)


def read_lfm(
    config: Config, parts: Sequence[FeedForward], *, attending: Sequence[int] = ()
) -> DecoderSpec:
    """Read an LFM2 with these feed-forward parts, one a layer.

    `attending` are the layers that attend where the config has no list of kinds.
    """
    config.require("hidden_act", "silu")
    config.require("use_pos_enc", True)
    config.require("conv_bias", False)
    norm = RmsNorm(epsilon=config.number("norm_eps", default=1e-5))
    attention: dict[str, Attention] = {
        "full_attention": msgspec.structs.replace(
            read_attention(config, default_theta=1_000_000.0),
            query_key_norm=QueryKeyNorm(norm=norm, over="head"),
        ),
        "conv": ShortConvolution(
            num_channels=config.integer("hidden_size"),
            kernel_size=config.integer("conv_L_cache", default=3, minimum=2),
        ),
    }
    default = ["full_attention" if index in attending else "conv" for index in range(len(parts))]
    kinds = read_layer_types(config, "layer_types", tuple(attention), default=default)
    if "full_attention" not in kinds:
        raise UnsupportedError(
            "config.json has no layer of full_attention; only a mixture with conv is implemented"
        )
    layers = [
        Layer(attention=attention[kind], feed_forward=part, norm=norm)
        for kind, part in zip(kinds, parts, strict=True)
    ]
    is_tied = config.boolean("tie_embedding", default=True)
    return read_decoder(config, layers, tied_by_default=is_tied)


def _intermediate_size(config: Config) -> int:
    """Return the size that the config gives, or what it is adjusted to."""
    size = config.integer(config.spelling("block_ff_dim", "intermediate_size"))
    config.require("intermediate_size", size)
    if not config.boolean("block_auto_adjust_ff_dim", default=True):
        return size
    factor = config.number("block_ffn_dim_multiplier", default=1.0)
    step = config.integer("block_multiple_of", default=256)
    return -(-int(factor * (2 * size // 3)) // step) * step


LFM_RULES: Final = (
    Rule("model.embed_tokens.weight", "embedding"),
    *(
        Rule(f"model.layers.{{layer}}.{name}.weight", f"layers.{{layer}}.{slot}")
        for name, slot in (
            ("operator_norm", "attention_norm"),
            ("self_attn.q_proj", "attention.query"),
            ("self_attn.k_proj", "attention.key"),
            ("self_attn.v_proj", "attention.value"),
            ("self_attn.out_proj", "attention.output"),
            ("self_attn.q_layernorm", "attention.query_norm"),
            ("self_attn.k_layernorm", "attention.key_norm"),
            ("conv.in_proj", "attention.gates_channels"),
            ("conv.conv", "attention.convolution"),
            ("conv.out_proj", "attention.state_output"),
            ("ffn_norm", "feed_forward_norm"),
            ("feed_forward.w1", "mlp.gate"),
            ("feed_forward.w3", "mlp.up"),
            ("feed_forward.w2", "mlp.down"),
        )
    ),
    Rule("model.embedding_norm.weight", "norm"),
    Rule("lm_head.weight", "head"),
)

IGNORED_KEYS: Final = frozenset(
    {
        # Sizes and switches said again, by the code that trained the model.
        *("block__name_mlp", "block_dim", "block_norm_eps", "block_use_swiglu"),
        *("block_auto_adjust_ff_dim", "block_ffn_dim_multiplier", "block_multiple_of", "conv_dim"),
        *("full_attn_idxs", "num_heads", "tie_embedding"),
        # How weights began, and how they were kept and split in training.
        *("block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init"),
        *("conv_use_xavier_init", "block_ffn_te_autocast", "block_ffn_use_quantized_params"),
        *("block_sequence_parallel_norm_across_tp", "ffn_te_autocast"),
        *("ffn_use_quantized_params", "sequence_parallel_norm_across_tp"),
    }
)

FAMILY: Final = Family(
    model_type="lfm2",
    class_names=("Lfm2ForCausalLM",),
    read_spec=read_spec,
    rules=LFM_RULES,
    ignored=IGNORED_KEYS,
)
