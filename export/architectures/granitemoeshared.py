"""Granite-MoE with an expert that every token passes, beside the chosen ones and without a gate.

Source: the model type `granitemoeshared` of transformers.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.granitemoe import (
    GRANITE_RULES,
    gate_and_up_rules,
    read_scaled_decoder,
)
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, SharedExpert


def read_spec(config: Config) -> DecoderSpec:
    size = config.integer("shared_intermediate_size", default=0, minimum=0)
    shared = SharedExpert(intermediate_size=size, gate="none") if size else None
    return read_scaled_decoder(config, shared=shared)


FAMILY: Final = Family(
    model_type="granitemoeshared",
    class_names=("GraniteMoeSharedForCausalLM",),
    read_spec=read_spec,
    rules=(
        *GRANITE_RULES,
        *gate_and_up_rules(
            "model.layers.{layer}.shared_mlp.input_linear.weight",
            "layers.{layer}.moe.shared",
            axis=0,
        ),
        Rule(
            "model.layers.{layer}.shared_mlp.output_linear.weight", "layers.{layer}.moe.shared.down"
        ),
    ),
)
