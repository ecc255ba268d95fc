"""The config keys and tensor names that most families of transformers have in common."""

from collections.abc import Collection, Sequence
from itertools import cycle, islice
from math import log
from typing import Final

from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import CheckpointError, UnsupportedError
from export.spec.decoder import (
    CachedAttention,
    DecoderSpec,
    Dense,
    GroupedQuery,
    Layer,
    RmsNorm,
)
from export.spec.rope import LinearScaling, Llama3Scaling, PairScaling, Rope, RopeScaling, Yarn

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

SHARED_EXPERTS_RULES: Final = tuple(
    Rule(
        f"model.layers.{{layer}}.mlp.shared_experts.{name}_proj.weight",
        f"layers.{{layer}}.moe.shared.{name}",
    )
    for name in ("gate", "up", "down")
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


LAYER_TYPES: Final = ("full_attention", "sliding_attention")


def read_window(config: Config, kind: str) -> int | None:
    """Return how many tokens a layer of one of LAYER_TYPES sees, None for all."""
    return config.integer("sliding_window") if kind == "sliding_attention" else None


def read_shared_window(config: Config) -> int | None:
    """Return the window that every layer has, None where it is absent or hides nothing."""
    if not config.has("sliding_window"):
        return None
    window = config.integer("sliding_window")
    return window if window < config.integer("max_position_embeddings") else None


def read_layer_types(
    config: Config, key: str, implemented: Collection[str], *, default: Sequence[str]
) -> list[str]:
    """Read what kind each layer is of, `default` again and again where nothing says so.

    Raises UnsupportedError for a kind that is not implemented.
    """
    num_layers = config.integer("num_hidden_layers")
    kinds = config.texts(key) or tuple(islice(cycle(default), num_layers))
    if len(kinds) != num_layers:
        raise CheckpointError(f"config.json says {len(kinds)} {key} for {num_layers} layers")
    unknown = sorted(set(kinds) - set(implemented))
    if unknown:
        names = " or ".join(map(repr, implemented))
        raise UnsupportedError(
            f"config.json says {unknown[0]!r} among {key}; only {names} is implemented"
        )
    return list(kinds)


def read_norm(config: Config, *, default_epsilon: float = 1e-6) -> RmsNorm:
    return RmsNorm(epsilon=config.number("rms_norm_eps", default=default_epsilon))


def read_full_attention_only(config: Config) -> None:
    """Refuse layers that are named something else than full attention."""
    num_layers = config.integer("num_hidden_layers")
    config.require("layer_types", ["full_attention"] * num_layers)


def read_attention(
    config: Config,
    *,
    rope: Rope | None = None,
    default_head_dim: int | None = None,
    default_theta: float | None = None,
    default_bias: bool | None = None,
) -> GroupedQuery:
    """Read attention without norms, which differ by family.

    With a `default_bias`, `attention_bias` decides for all four matrices; biases of some of them
    are the family's own.
    """
    num_heads = config.integer("num_attention_heads")
    has_bias = default_bias is not None and config.boolean("attention_bias", default=default_bias)
    hidden_size = config.integer("hidden_size")
    attention = GroupedQuery(
        num_attention_heads=num_heads,
        num_key_value_heads=config.integer("num_key_value_heads", default=num_heads),
        head_dim=config.integer("head_dim", default=default_head_dim or hidden_size // num_heads),
        rope=rope or read_rope(config, default_theta=default_theta),
        input_bias=has_bias,
        output_bias=has_bias,
    )
    check_factors(attention)
    return attention


def check_factors(attention: CachedAttention) -> None:
    """Refuse a rotation whose factors are not one for each pair."""
    rotated = attention.rotary_dim
    scaling = None if attention.rope is None else attention.rope.scaling
    if isinstance(scaling, PairScaling) and 2 * len(scaling.factors) != rotated:
        raise CheckpointError(
            f"config.json says {len(scaling.factors)} numbers in short_factor, which is not half "
            f"of the {rotated} of a head that are rotated"
        )


MULTIMODAL_ROPE_KEYS: Final = frozenset({"mrope_interleaved", "mrope_section"})
"""How pairs of a head are shared out to time, height and width: all three are a text's position."""


def read_rope(
    config: Config,
    *,
    default_theta: float | None = None,
    default_share: float | None = None,
    harmless: Collection[str] = (),
) -> Rope:
    """Read the rotation's base, scaling and, with a `default_share`, its share of a head.

    They are spelled at the top and in `rope_scaling` or, by transformers 5, in `rope_parameters`.
    """
    parameters = config.section("rope_parameters")
    older = config.section("rope_scaling")
    at_the_top = config.has("rope_theta") or not parameters.has("rope_theta")
    theta = (config if at_the_top else parameters).number("rope_theta", default=default_theta)
    scaling = _read_scaling(older if config.has("rope_scaling") else parameters)
    share = _read_share(config, parameters, default_share)
    older.refuse_unread({"type", *harmless})
    parameters.refuse_unread({"rope_theta", "type", *harmless})
    return Rope(theta=theta, scaling=scaling, share=share)


def _read_share(config: Config, parameters: Config, default: float | None) -> float:
    if default is None:
        config.require("partial_rotary_factor", 1.0)
        parameters.require("partial_rotary_factor", 1.0)
        return 1.0
    is_at_the_top = config.has("partial_rotary_factor")
    share = (config if is_at_the_top else parameters).number(
        "partial_rotary_factor", default=default
    )
    parameters.require("partial_rotary_factor", share)
    return share


def read_layer_rope(config: Config, kind: str) -> Rope:
    """Read the rotation of one kind of layers, where `rope_parameters` holds one for each."""
    parameters = config.section("rope_parameters").section(kind)
    rope = Rope(
        theta=parameters.number("rope_theta"),
        scaling=_read_scaling(parameters),
        share=parameters.number("partial_rotary_factor", default=1.0),
    )
    parameters.refuse_unread({"type"})
    return rope


def _read_scaling(config: Config) -> RopeScaling | None:
    key = config.spelling("rope_type", "type")
    # The last shares pairs out to time, height and width, and a text has one position for all.
    config.require(key, "default", "linear", "llama3", "yarn", "longrope", "mrope")
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
        case "yarn":
            return _yarn(config)
        case "longrope":
            # Others for long texts would leave the keys of the cache rotated by the short ones.
            config.require_same("long_factor", "short_factor")
            return PairScaling(
                factors=config.numbers("short_factor"),
                attention_factor=config.number("attention_factor"),
            )
        case _:
            return None


def _yarn(parameters: Config) -> Yarn:
    factor = parameters.number("factor")
    # The paper's own default, in the spelling of transformers' `_compute_yarn_parameters`.
    default = _mscale(factor, 1.0)
    if parameters.has("mscale") and parameters.has("mscale_all_dim"):
        scales = [parameters.number(key) for key in ("mscale", "mscale_all_dim")]
        default = _mscale(factor, scales[0]) / _mscale(factor, scales[1])
    return Yarn(
        factor=factor,
        original_max_position_embeddings=parameters.integer("original_max_position_embeddings"),
        beta_fast=parameters.number("beta_fast", default=32.0),
        beta_slow=parameters.number("beta_slow", default=1.0),
        attention_factor=parameters.number("attention_factor", default=default),
        truncate=parameters.boolean("truncate", default=True),
    )


def _mscale(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * log(factor) + 1.0
