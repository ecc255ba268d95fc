"""The rotation of Phi's families: other factors once a text is longer than it was first trained on.

Keys that are in the cache by then were rotated by the old ones, so that length is the limit here.
"""

from math import log, sqrt
from typing import Final

from export.checkpoint.config import Config
from export.spec.rope import PairScaling, Rope

NAMES: Final = ("longrope", "su")


def rotation(config: Config) -> Config:
    """Return what the config says of its rotation."""
    return config.section(config.spelling("rope_scaling", "rope_parameters"))


def is_long(scaling: Config) -> bool:
    return scaling.text(scaling.spelling("rope_type", "type"), default="default") in NAMES


def original_length(config: Config, *, default: int | None = None) -> int:
    """Return the length that the model was first trained on, which is said in either place."""
    scaling, key = rotation(config), "original_max_position_embeddings"
    return (scaling if scaling.has(key) else config).integer(key, default=default)


def attention_factor(config: Config, original: int) -> float:
    """Return what the config says, or the paper's value for how far it was stretched."""
    stretched = config.integer("max_position_embeddings") / original
    default = 1.0 if stretched <= 1.0 else sqrt(1.0 + log(stretched) / log(original))
    return rotation(config).number("attention_factor", default=default)


def read_long_rope(
    config: Config, *, attention_factor: float, share: float = 1.0, theta: float | None = None
) -> Rope:
    """Read the factors of short texts; `theta` is the default of the base."""
    scaling = rotation(config)
    at_the_top = config.has("rope_theta") or not scaling.has("rope_theta")
    rope = Rope(
        theta=(config if at_the_top else scaling).number("rope_theta", default=theta),
        scaling=PairScaling(
            factors=scaling.numbers("short_factor"), attention_factor=attention_factor
        ),
        share=share,
    )
    # Beyond the limit, and what the families read themselves.
    scaling.refuse_unread(
        {
            *("type", "rope_type", "long_factor", "long_mscale", "short_mscale"),
            *("original_max_position_embeddings", "partial_rotary_factor"),
        }
    )
    return rope
