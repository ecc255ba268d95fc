"""Gemma 2: four norms a block, capped scores and logits, every second layer sees a window.

Source: Gemma 2 (arXiv:2408.00118) and the model type `gemma2` of transformers.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    GATED_MLP_RULES,
    INPUT_BIAS_RULES,
    LAYER_TYPES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_decoder,
    read_layer_types,
    read_window,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Dense, GroupedQuery, Head, Layer, Residual, RmsNorm
from export.spec.rope import Rope

ALTERNATING: Final = ("sliding_attention", "full_attention")


def read_spec(config: Config) -> DecoderSpec:
    def attention(kind: str) -> GroupedQuery:
        softcap = read_optional_number(config, "attn_logit_softcapping")
        return msgspec.structs.replace(read_gemma_attention(config, kind), softcap=softcap)

    return read_gemma(
        config, attention, read_layer_types(config, "layer_types", LAYER_TYPES, default=ALTERNATING)
    )


def read_gemma(
    config: Config, attention: Callable[[str], GroupedQuery], kinds: Sequence[str]
) -> DecoderSpec:
    """Read a Gemma whose layers differ in their attention, by kind."""
    config.require(config.spelling("hidden_activation", "hidden_act"), "gelu_pytorch_tanh")
    config.require("hidden_act", "gelu_pytorch_tanh")
    config.require("use_bidirectional_attention", False)
    dense = Dense(intermediate_size=config.integer("intermediate_size"), activation="gelu_tanh")
    by_kind = {
        kind: Layer(
            attention=attention(kind),
            feed_forward=dense,
            norm=read_gemma_norm(config),
            residual=Residual(norm_position="around"),
        )
        for kind in sorted(set(kinds))
    }
    spec = read_decoder(config, [by_kind[kind] for kind in kinds], tied_by_default=True)
    return msgspec.structs.replace(
        spec,
        embedding_scale=spec.hidden_size**0.5,
        head=Head(softcap=read_optional_number(config, "final_logit_softcapping")),
    )


def read_gemma_attention(config: Config, kind: str, *, rope: Rope | None = None) -> GroupedQuery:
    return msgspec.structs.replace(
        read_attention(
            config, rope=rope, default_head_dim=256, default_theta=10_000.0, default_bias=False
        ),
        scale=config.number("query_pre_attn_scalar", default=256.0) ** -0.5,
        window=read_window(config, kind),
    )


def read_gemma_norm(config: Config) -> RmsNorm:
    """Read a norm whose weights are stored as their distance from one."""
    return RmsNorm(epsilon=config.number("rms_norm_eps", default=1e-6), offset=1.0)


def read_optional_number(config: Config, key: str) -> float | None:
    return config.number(key) if config.has(key) else None


GEMMA_RULES: Final = (
    *(rule for rule in DECODER_RULES if not rule.slot.endswith("feed_forward_norm")),
    *INPUT_BIAS_RULES,
    *OUTPUT_BIAS_RULES,
    *GATED_MLP_RULES,
    *(
        Rule(f"model.layers.{{layer}}.{name}.weight", f"layers.{{layer}}.{slot}")
        for name, slot in (
            ("post_attention_layernorm", "attention_output_norm"),
            ("pre_feedforward_layernorm", "feed_forward_norm"),
            ("post_feedforward_layernorm", "feed_forward_output_norm"),
        )
    ),
)

FAMILY: Final = Family(
    model_type="gemma2",
    class_names=("Gemma2ForCausalLM",),
    read_spec=read_spec,
    rules=GEMMA_RULES,
    # A window that no layer has.
    ignored=frozenset({"sliding_window"}),
)
