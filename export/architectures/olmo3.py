"""OLMo 3: OLMo 2 with windows in three of four layers, whose rotation is not stretched.

Source: Olmo 3 (arXiv:2512.13961) and the model type `olmo3` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import (
    LAYER_TYPES,
    read_layer_rope,
    read_layer_types,
    read_rope,
    read_window,
)
from export.architectures.olmo2 import OLMO_RULES, read_olmo, read_olmo_attention
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, GroupedQuery
from export.spec.rope import Rope

DEFAULT_THETA: Final = 500_000.0
PATTERN: Final = (*["sliding_attention"] * 3, "full_attention")


def read_spec(config: Config) -> DecoderSpec:
    kinds = read_layer_types(config, "layer_types", LAYER_TYPES, default=PATTERN)
    by_kind = {kind: _attention(config, kind) for kind in sorted(set(kinds))}
    return read_olmo(config, [by_kind[kind] for kind in kinds])


def _attention(config: Config, kind: str) -> GroupedQuery:
    attention = read_olmo_attention(config, rope=_read_rope(config, kind))
    return msgspec.structs.replace(attention, window=read_window(config, kind))


def _read_rope(config: Config, kind: str) -> Rope:
    """Read one kind's rotation, spelled for both or, by transformers 5, for each kind."""
    if config.section("rope_parameters").has(kind):
        return read_layer_rope(config, kind)
    rope = read_rope(config, default_theta=DEFAULT_THETA)
    return rope if kind == "full_attention" else msgspec.structs.replace(rope, scaling=None)


FAMILY: Final = Family(
    model_type="olmo3",
    class_names=("Olmo3ForCausalLM",),
    read_spec=read_spec,
    rules=OLMO_RULES,
    # A window that no layer has.
    ignored=frozenset({"sliding_window"}),
)
