"""The config keys and tensor names of latent attention, which DeepSeek's families share."""

from math import log
from typing import Final

import msgspec

from export.architectures.common.keys import DECODER_RULES, check_factors, read_rope
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import Latent, RmsNorm
from export.spec.rope import Rope, Yarn

_ATTENTION: Final = "model.layers.{layer}.self_attn."
_SLOT: Final = "layers.{layer}.attention."

LATENT_RULES: Final = tuple(
    Rule(_ATTENTION + name + ".weight", _SLOT + slot)
    for name, slot in (
        ("q_proj", "query"),
        ("q_a_proj", "query_down"),
        ("q_a_layernorm", "query_norm"),
        ("q_b_proj", "query_up"),
        ("kv_a_proj_with_mqa", "key_value_down"),
        ("kv_a_layernorm", "key_value_norm"),
        ("kv_b_proj", "key_value_up"),
        ("o_proj", "output"),
    )
)

OTHER_RULES: Final = tuple(rule for rule in DECODER_RULES if ".self_attn." not in rule.pattern)
"""What these families share with others: all but attention."""


def read_latent_attention(
    config: Config,
    *,
    rope: Rope | None = None,
    default_nope: int = 128,
    default_value: int = 128,
    default_interleaved: bool = True,
) -> Latent:
    """Read it; the defaults are the sizes of a key's part that is not rotated, and of a value."""
    config.require("attention_bias", False)
    num_heads = config.integer("num_attention_heads")
    config.require("num_key_value_heads", num_heads)
    nope = config.integer("qk_nope_head_dim", default=default_nope)
    rope_head_dim = config.integer("qk_rope_head_dim", default=64)
    rope = rope or read_rope(config)
    interleaved = config.boolean("rope_interleave", default=default_interleaved)
    attention = Latent(
        num_attention_heads=num_heads,
        query_rank=config.integer("q_lora_rank") if config.has("q_lora_rank") else None,
        key_value_rank=config.integer("kv_lora_rank", default=512),
        nope_head_dim=nope,
        rope_head_dim=rope_head_dim,
        value_head_dim=config.integer("v_head_dim", default=default_value),
        rope=msgspec.structs.replace(rope, interleaved=interleaved),
        # The published code gives these norms no other epsilon.
        norm=RmsNorm(epsilon=1e-6),
        score_scale=(nope + rope_head_dim) ** -0.5 * _score_factor(config, rope),
    )
    check_factors(attention)
    return attention


def _score_factor(config: Config, rope: Rope) -> float:
    """Return the square of Yarn's scale of scores, where `mscale_all_dim` asks for it."""
    parameters = config.section(config.spelling("rope_scaling", "rope_parameters"))
    if not isinstance(rope.scaling, Yarn) or not parameters.has("mscale_all_dim"):
        return 1.0
    mscale = parameters.number("mscale_all_dim")
    factor = rope.scaling.factor
    return 1.0 if factor <= 1 else (0.1 * mscale * log(factor) + 1.0) ** 2
