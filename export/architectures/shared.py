"""The config keys and tensor names that most families of transformers have in common."""

from collections.abc import Sequence
from typing import Final

from export.config import Config
from export.spec import (
    DecoderSpec,
    Dense,
    GroupedQuery,
    Layer,
    LinearScaling,
    Llama3Scaling,
    RmsNorm,
    Rope,
    RopeScaling,
)
from export.tensors import Rule

DECODER_RULES: Final = (
    Rule("model.embed_tokens.weight", "embedding"),
    Rule("model.layers.{layer}.input_layernorm.weight", "layers.{layer}.attention_norm"),
    Rule("model.layers.{layer}.self_attn.q_proj.weight", "layers.{layer}.attention.query"),
    Rule("model.layers.{layer}.self_attn.k_proj.weight", "layers.{layer}.attention.key"),
    Rule("model.layers.{layer}.self_attn.v_proj.weight", "layers.{layer}.attention.value"),
    Rule("model.layers.{layer}.self_attn.o_proj.weight", "layers.{layer}.attention.output"),
    Rule(
        "model.layers.{layer}.post_attention_layernorm.weight", "layers.{layer}.feed_forward_norm"
    ),
    Rule("model.norm.weight", "norm"),
    Rule("lm_head.weight", "head"),
)

HEAD_NORM_RULES: Final = (
    Rule("model.layers.{layer}.self_attn.q_norm.weight", "layers.{layer}.attention.query_norm"),
    Rule("model.layers.{layer}.self_attn.k_norm.weight", "layers.{layer}.attention.key_norm"),
)

INPUT_BIAS_RULES: Final = tuple(
    Rule(
        f"model.layers.{{layer}}.self_attn.{name[0]}_proj.bias",
        f"layers.{{layer}}.attention.{name}_bias",
    )
    for name in ("query", "key", "value")
)

OUTPUT_BIAS_RULES: Final = (
    Rule("model.layers.{layer}.self_attn.o_proj.bias", "layers.{layer}.attention.output_bias"),
)

NORM_BIAS_RULES: Final = (
    Rule("model.layers.{layer}.input_layernorm.bias", "layers.{layer}.attention_norm_bias"),
    Rule(
        "model.layers.{layer}.post_attention_layernorm.bias",
        "layers.{layer}.feed_forward_norm_bias",
    ),
    Rule("model.norm.bias", "norm_bias"),
)

GATED_MLP_RULES: Final = (
    Rule("model.layers.{layer}.mlp.gate_proj.weight", "layers.{layer}.mlp.gate"),
    Rule("model.layers.{layer}.mlp.up_proj.weight", "layers.{layer}.mlp.up"),
    Rule("model.layers.{layer}.mlp.down_proj.weight", "layers.{layer}.mlp.down"),
)

EXPERT_RULES: Final = (
    Rule("model.layers.{layer}.mlp.gate.weight", "layers.{layer}.moe.router"),
    *(
        Rule(
            f"model.layers.{{layer}}.mlp.experts.{{expert}}.{name}_proj.weight",
            f"layers.{{layer}}.moe.{name}",
            stack="expert",
        )
        for name in ("gate", "up", "down")
    ),
)

UNNAMED_EXPERT_RULES: Final = (
    Rule("model.layers.{layer}.block_sparse_moe.gate.weight", "layers.{layer}.moe.router"),
    *(
        Rule(
            f"model.layers.{{layer}}.block_sparse_moe.experts.{{expert}}.{number}.weight",
            f"layers.{{layer}}.moe.{name}",
            stack="expert",
        )
        for number, name in (("w1", "gate"), ("w3", "up"), ("w2", "down"))
    ),
)
"""Mixtral's spelling, and that of those who followed it."""

HARMLESS_KEYS: Final = frozenset(
    {
        # How the checkpoint was made or stored; what a caller of transformers gets back.
        "architectures",
        "attention_dropout",
        "dtype",
        "initializer_range",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "return_dict",
        "torch_dtype",
        "transformers_version",
        "use_cache",
        # Tokens, which are read from the tokenizer and the generation config.
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    }
)


UNUSED_WINDOW_KEYS: Final = frozenset({"sliding_window", "max_window_layers"})
"""They say something only where `use_sliding_window` is true."""


def read_decoder(
    config: Config, layers: Sequence[Layer], *, tied_by_default: bool = False
) -> DecoderSpec:
    """Read what is left when the layers are known; the last norm is one more of theirs."""
    return DecoderSpec(
        vocab_size=config.integer("vocab_size"),
        hidden_size=config.integer("hidden_size"),
        layers=tuple(layers),
        norm=layers[-1].norm,
        tie_word_embeddings=config.boolean("tie_word_embeddings", default=tied_by_default),
        max_position_embeddings=config.integer("max_position_embeddings"),
    )


def read_dense_decoder(config: Config, attention: GroupedQuery) -> DecoderSpec:
    """Read a decoder whose layers are all alike and gated by silu."""
    config.require("hidden_act", "silu")
    layer = Layer(
        attention=attention,
        feed_forward=Dense(intermediate_size=config.integer("intermediate_size")),
        norm=read_norm(config),
    )
    return read_decoder(config, [layer] * config.integer("num_hidden_layers"))


def sparse_layers(config: Config) -> list[bool]:
    """Say of each layer whether it has experts, as the Qwen families count them."""
    step = config.integer("decoder_sparse_step", default=1)
    dense = set(config.integers("mlp_only_layers"))
    num_layers = config.integer("num_hidden_layers")
    return [index not in dense and (index + 1) % step == 0 for index in range(num_layers)]


def read_norm(config: Config, *, default_epsilon: float = 1e-6) -> RmsNorm:
    return RmsNorm(epsilon=config.number("rms_norm_eps", default=default_epsilon))


def read_full_attention_only(config: Config) -> None:
    """Refuse layers that are named something else than full attention."""
    num_layers = config.integer("num_hidden_layers")
    config.require("layer_types", ["full_attention"] * num_layers)


def read_attention(
    config: Config, *, default_head_dim: int | None = None, default_theta: float | None = None
) -> GroupedQuery:
    """Read attention without biases and norms, which differ by family."""
    num_heads = config.integer("num_attention_heads")
    hidden_size = config.integer("hidden_size")
    return GroupedQuery(
        num_attention_heads=num_heads,
        num_key_value_heads=config.integer("num_key_value_heads", default=num_heads),
        head_dim=config.integer("head_dim", default=default_head_dim or hidden_size // num_heads),
        rope=read_rope(config, default_theta=default_theta),
    )


def read_rope(config: Config, *, default_theta: float | None = None) -> Rope:
    """Read the rotation's base and scaling.

    They are spelled at the top and in `rope_scaling` or, by transformers 5, in `rope_parameters`.
    """
    config.require("partial_rotary_factor", 1.0)
    parameters = config.section("rope_parameters")
    older = config.section("rope_scaling")
    at_the_top = config.has("rope_theta") or not parameters.has("rope_theta")
    theta = (config if at_the_top else parameters).number("rope_theta", default=default_theta)
    scaling = _read_scaling(older if config.has("rope_scaling") else parameters)
    older.refuse_unread(ignored={"type"})
    parameters.refuse_unread(ignored={"rope_theta", "type"})
    return Rope(theta=theta, scaling=scaling)


def _read_scaling(config: Config) -> RopeScaling | None:
    key = config.spelling("rope_type", "type")
    config.require(key, "default", "linear", "llama3")
    config.require("partial_rotary_factor", 1.0)
    match config.text(key, default="default"):
        case "linear":
            return LinearScaling(factor=config.number("factor"))
        case "llama3":
            return Llama3Scaling(
                factor=config.number("factor"),
                low_freq_factor=config.number("low_freq_factor"),
                high_freq_factor=config.number("high_freq_factor"),
                original_context_length=config.integer("original_max_position_embeddings"),
            )
        case _:
            return None
