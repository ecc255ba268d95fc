"""Qwen3-MoE: grouped-query attention with normalized heads, softmax top-k experts.

Source: Qwen3 technical report (arXiv:2505.09388) and the model type `qwen3_moe` of transformers.
"""

from typing import Final

from export.architectures.family import Family
from export.architectures.shared import DECODER_RULES, GATED_MLP_RULES, HEAD_NORM_RULES, read_rope
from export.config import Config
from export.spec import (
    DecoderSpec,
    Dense,
    FeedForward,
    GroupedQuery,
    Layer,
    RmsNorm,
    Router,
    SparseMoE,
)
from export.tensors import Rule


def read_spec(config: Config) -> DecoderSpec:
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    config.require("use_sliding_window", False)
    norm = RmsNorm(epsilon=config.number("rms_norm_eps", default=1e-6))
    hidden_size = config.integer("hidden_size")
    attention = _attention(config, hidden_size, norm)
    is_sparse = _sparse_layers(config)
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    experts = _experts(config)
    feed_forward: dict[bool, FeedForward] = {True: experts, False: dense}
    return DecoderSpec(
        vocab_size=config.integer("vocab_size"),
        hidden_size=hidden_size,
        layers=tuple(
            Layer(attention=attention, feed_forward=feed_forward[sparse], norm=norm)
            for sparse in is_sparse
        ),
        norm=norm,
        tie_word_embeddings=config.boolean("tie_word_embeddings", default=False),
        max_position_embeddings=config.integer("max_position_embeddings"),
    )


def _attention(config: Config, hidden_size: int, norm: RmsNorm) -> GroupedQuery:
    num_heads = config.integer("num_attention_heads")
    return GroupedQuery(
        num_attention_heads=num_heads,
        num_key_value_heads=config.integer("num_key_value_heads"),
        head_dim=config.integer("head_dim", default=hidden_size // num_heads),
        rope=read_rope(config),
        head_norm=norm,
    )


def _experts(config: Config) -> SparseMoE:
    # transformers 5 writes the same number under the second name.
    num_experts = config.integer(config.spelling("num_experts", "num_local_experts"))
    return SparseMoE(
        num_experts=num_experts,
        moe_intermediate_size=config.integer("moe_intermediate_size"),
        router=Router(
            num_experts_per_tok=config.integer("num_experts_per_tok"),
            renormalize=config.boolean("norm_topk_prob", default=False),
        ),
    )


def _sparse_layers(config: Config) -> list[bool]:
    step = config.integer("decoder_sparse_step", default=1)
    dense = set(config.integers("mlp_only_layers"))
    num_layers = config.integer("num_hidden_layers")
    return [index not in dense and (index + 1) % step == 0 for index in range(num_layers)]


FAMILY: Final = Family(
    model_type="qwen3_moe",
    class_name="Qwen3MoeForCausalLM",
    read_spec=read_spec,
    rules=(
        *DECODER_RULES,
        *HEAD_NORM_RULES,
        *GATED_MLP_RULES,
        Rule("model.layers.{layer}.mlp.gate.weight", "layers.{layer}.moe.router"),
        *(
            Rule(
                f"model.layers.{{layer}}.mlp.experts.{{expert}}.{name}_proj.weight",
                f"layers.{{layer}}.moe.{name}",
                stack="expert",
            )
            for name in ("gate", "up", "down")
        ),
    ),
    # A window that is not used; how experts were balanced in training.
    ignored=frozenset({"sliding_window", "max_window_layers", "router_aux_loss_coef"}),
)
