"""Granite-MoE: embeddings, scores, residuals and logits scaled, renormalized top-k experts.

Source: PowerMoE (arXiv:2408.13359), whose multipliers keep learning rates the same at every size,
and the model type `granitemoe` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    DECODER_RULES,
    INPUT_BIAS_RULES,
    OUTPUT_BIAS_RULES,
    read_attention,
    read_decoder,
    read_norm,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule, Share
from export.spec.decoder import (
    DecoderSpec,
    GroupedQuery,
    Head,
    Layer,
    Residual,
    SharedExpert,
    SparseMoE,
)
from export.spec.routers import Router


def read_spec(config: Config) -> DecoderSpec:
    return read_scaled_decoder(config, shared=None)


def read_scaled_decoder(config: Config, *, shared: SharedExpert | None) -> DecoderSpec:
    """Read a Granite whose layers have this shared expert, or none."""
    config.require("hidden_act", "silu")
    layer = Layer(
        attention=read_attention(config, default_theta=10_000.0, default_bias=False),
        feed_forward=SparseMoE(
            num_experts=config.integer("num_local_experts"),
            moe_intermediate_size=config.integer("intermediate_size"),
            router=Router(
                num_experts_per_tok=config.integer("num_experts_per_tok"), renormalize=True
            ),
            shared=shared,
        ),
        norm=read_norm(config),
    )
    return scaled(config, read_decoder(config, [layer] * config.integer("num_hidden_layers")))


def scaled(config: Config, spec: DecoderSpec) -> DecoderSpec:
    """Scale embeddings, scores, residuals and logits as every Granite does."""
    score_scale = config.number("attention_multiplier", default=1.0)
    residual = Residual(scale=config.number("residual_multiplier", default=1.0))
    layers = (
        msgspec.structs.replace(
            layer,
            attention=msgspec.structs.replace(layer.attention, scale=score_scale)
            if isinstance(layer.attention, GroupedQuery)
            else layer.attention,
            residual=residual,
        )
        for layer in spec.layers
    )
    return msgspec.structs.replace(
        spec,
        layers=tuple(layers),
        embedding_scale=config.number("embedding_multiplier", default=1.0),
        head=Head(scale=1.0 / config.number("logits_scaling", default=1.0)),
    )


def gate_and_up_rules(pattern: str, slot: str, *, axis: int) -> tuple[Rule, ...]:
    """Cut one tensor's rows into gate and up, which lie behind each other along `axis`."""
    return tuple(
        Rule(pattern, f"{slot}.{name}", share=Share(axis=axis, index=index))
        for index, name in enumerate(("gate", "up"))
    )


GRANITE_RULES: Final = (
    *DECODER_RULES,
    *INPUT_BIAS_RULES,
    *OUTPUT_BIAS_RULES,
    Rule("model.layers.{layer}.block_sparse_moe.router.layer.weight", "layers.{layer}.moe.router"),
    *gate_and_up_rules(
        "model.layers.{layer}.block_sparse_moe.input_linear.weight", "layers.{layer}.moe", axis=1
    ),
    Rule("model.layers.{layer}.block_sparse_moe.output_linear.weight", "layers.{layer}.moe.down"),
)

FAMILY: Final = Family(
    model_type="granitemoe",
    class_names=("GraniteMoeForCausalLM",),
    read_spec=read_spec,
    rules=GRANITE_RULES,
)
