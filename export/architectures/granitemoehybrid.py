"""Granite 4: layers that attend among such that keep a state by Mamba 2's rule, or those alone.

Source: the model type `granitemoehybrid` of transformers; the rule itself is arXiv:2405.21060.
"""

from collections.abc import Mapping
from math import inf
from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    read_attention,
    read_decoder,
    read_layer_types,
    read_norm,
)
from export.architectures.granitemoe import GRANITE_RULES, gate_and_up_rules, scaled
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule, Share
from export.errors import UnsupportedError
from export.spec.decoder import (
    Attention,
    DecoderSpec,
    Dense,
    FeedForward,
    GroupedQuery,
    Layer,
    SharedExpert,
    SparseMoE,
)
from export.spec.recurrence import StateSpace
from export.spec.routers import Router

ATTENDING: Final = frozenset({"attention", "full_attention"})
KINDS: Final = ("mamba", "attention", "linear_attention", "full_attention")
"""The published names, then those of transformers 5."""


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    kinds = read_layer_types(config, "layer_types", KINDS, default=["mamba"])
    if ATTENDING.isdisjoint(kinds):
        raise UnsupportedError("config.json has no layer that attends; only a mixture is read")
    attention: Mapping[bool, Attention] = {True: _attention(config)}
    if not ATTENDING.issuperset(kinds):
        attention = {**attention, False: _state_space(config)}
    feed_forward = _feed_forward(config)
    layers = [
        Layer(
            attention=attention[kind in ATTENDING],
            feed_forward=feed_forward,
            norm=read_norm(config),
        )
        for kind in kinds
    ]
    return scaled(config, read_decoder(config, layers))


def _attention(config: Config) -> GroupedQuery:
    attention = read_attention(config, default_theta=10_000.0, default_bias=False)
    if config.choice("position_embedding_type", "nope", "rope") == "rope":
        return attention
    return msgspec.structs.replace(attention, rope=None)


def _state_space(config: Config) -> StateSpace:
    config.require("mamba_proj_bias", False)
    if config.values("time_step_limit") not in {(), (0.0, inf)}:
        raise UnsupportedError("config.json has a time_step_limit, which is not implemented")
    num_heads = config.integer("mamba_n_heads", default=128)
    size = config.integer("mamba_expand", default=2) * config.integer("hidden_size") // num_heads
    config.require("mamba_d_head", "auto", size)
    return StateSpace(
        num_key_heads=config.integer("mamba_n_groups", default=1),
        num_value_heads=num_heads,
        key_head_dim=config.integer("mamba_d_state", default=256),
        value_head_dim=size,
        kernel_size=config.integer("mamba_d_conv", default=4, minimum=2),
        norm_epsilon=read_norm(config).epsilon,
        convolution_bias=config.boolean("mamba_conv_bias", default=True),
    )


def _feed_forward(config: Config) -> FeedForward:
    size = config.integer("shared_intermediate_size", default=1024)
    num_experts = config.integer("num_local_experts", default=8, minimum=0)
    if not num_experts:
        return Dense(intermediate_size=size)
    return SparseMoE(
        num_experts=num_experts,
        moe_intermediate_size=config.integer("intermediate_size"),
        router=Router(
            num_experts_per_tok=config.integer("num_experts_per_tok", default=2), renormalize=True
        ),
        shared=SharedExpert(intermediate_size=size, gate="none"),
    )


def _further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    """Return those of tensors that are cut, and of what is beside the experts, or all there is."""
    has_experts = isinstance(spec.layers[0].feed_forward, SparseMoE)
    part = "layers.{layer}.moe.shared" if has_experts else "layers.{layer}.mlp"
    mlp = "model.layers.{layer}.shared_mlp."
    found = [
        *gate_and_up_rules(f"{mlp}input_linear.weight", part, axis=0),
        Rule(f"{mlp}output_linear.weight", f"{part}.down"),
    ]
    states = (layer.attention for layer in spec.layers if isinstance(layer.attention, StateSpace))
    for state in [*states][:1]:
        sizes = (state.value_size, state.num_channels, state.num_value_heads)
        found += [
            Rule(
                "model.layers.{layer}.mamba.in_proj.weight",
                f"layers.{{layer}}.attention.{name}",
                share=Share(axis=0, index=index, sizes=sizes),
            )
            for index, name in enumerate(("gate", "value_key_query", "step"))
        ]
    return tuple(found)


FAMILY: Final = Family(
    model_type="granitemoehybrid",
    class_names=("GraniteMoeHybridForCausalLM",),
    read_spec=read_spec,
    rules=(
        *GRANITE_RULES,
        *(
            Rule(f"model.layers.{{layer}}.mamba.{name}", f"layers.{{layer}}.attention.{slot}")
            for name, slot in (
                ("conv1d.weight", "convolution"),
                ("conv1d.bias", "convolution_bias"),
                ("dt_bias", "step_bias"),
                ("A_log", "decay_log"),
                ("D", "value_scale"),
                ("norm.weight", "state_norm"),
                ("out_proj.weight", "state_output"),
            )
        ),
    ),
    further_rules=_further_rules,
    # How many tokens are computed at once, and sizes of what no layer has.
    ignored=frozenset(
        {
            "intermediate_size",
            "mamba_chunk_size",
            "mamba_conv_bias",
            "mamba_d_conv",
            "mamba_d_head",
            "mamba_d_state",
            "mamba_expand",
            "mamba_n_groups",
            "mamba_n_heads",
            "mamba_proj_bias",
            "num_experts_per_tok",
            "time_step_limit",
        }
    ),
)
