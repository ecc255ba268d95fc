"""Grok-1: four norms a block, capped attention scores, eight experts gated by gelu.

Source: the published model (https://github.com/xai-org/grok-1, `model.py` and `run.py`), whose
mathematics this follows; names of keys and tensors are those of its conversions for transformers
(`grok-1`, `Grok1ModelForCausalLM`), which are code beside the checkpoint that is never run.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import read_attention, read_decoder, read_norm
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Head, Layer, Residual, SparseMoE
from export.spec.routers import Router

PUBLISHED_THETA: Final = 10_000.0
PUBLISHED_CAP: Final = 30.0


def read_spec(config: Config) -> DecoderSpec:
    layer = Layer(
        attention=msgspec.structs.replace(
            read_attention(config, default_theta=PUBLISHED_THETA),
            scale=config.number("attn_output_multiplier"),
            softcap=config.number("max_attn_value", default=PUBLISHED_CAP),
        ),
        feed_forward=SparseMoE(
            num_experts=config.integer("num_experts"),
            moe_intermediate_size=config.integer("intermediate_size"),
            router=Router(
                num_experts_per_tok=config.integer("num_experts_per_tok"), renormalize=False
            ),
            activation="gelu_tanh",
        ),
        norm=read_norm(config, default_epsilon=1e-5),
        residual=Residual(norm_position="around"),
    )
    layers = [layer] * config.integer("num_hidden_layers")
    return msgspec.structs.replace(
        read_decoder(config, layers, tied_by_default=True),
        embedding_scale=config.number("embedding_multiplier_scale"),
        head=Head(scale=config.number("output_multiplier_scale")),
    )


FAMILY: Final = Family(
    model_type="grok-1",
    class_names=("Grok1ModelForCausalLM",),
    read_spec=read_spec,
    rules=(
        Rule("model.embed_tokens.weight", "embedding"),
        *(
            Rule(
                f"model.layers.{{layer}}.attn.{name[0]}_proj.weight",
                f"layers.{{layer}}.attention.{name}",
            )
            for name in ("query", "key", "value", "output")
        ),
        *(
            Rule(f"model.layers.{{layer}}.{norm}.scale", f"layers.{{layer}}.{slot}")
            for norm, slot in (
                ("pre_attn_norm", "attention_norm"),
                ("post_attn_norm", "attention_output_norm"),
                ("pre_moe_norm", "feed_forward_norm"),
                ("post_moe_norm", "feed_forward_output_norm"),
            )
        ),
        Rule("model.layers.{layer}.moe_block.gate.weight", "layers.{layer}.moe.router"),
        *(
            Rule(
                f"model.layers.{{layer}}.moe_block.experts.{{expert}}.{name}.weight",
                f"layers.{{layer}}.moe.{slot}",
                stack="expert",
            )
            for name, slot in (("linear", "gate"), ("linear_v", "up"), ("linear_1", "down"))
        ),
        Rule("model.norm.scale", "norm"),
        Rule("lm_head.weight", "head"),
    ),
)
