"""The architectures of GGUF that are read: a function for their metadata, and how tensors lie.

A key that nobody read may change what the model computes, so it is refused by name.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from export.checkpoint.config import Config
from export.checkpoint.gguf import families, further_families
from export.checkpoint.gguf.block_names import BLOCK_RULES, blocks
from export.checkpoint.gguf.kinds import WHAT_IT_IS, other_kind
from export.checkpoint.gguf.layout import TensorHeader, under
from export.checkpoint.gguf.metadata import Described, Values
from export.checkpoint.gguf.names import (
    APART_RULES,
    BESIDE_RULES,
    GATE_AND_UP_RULES,
    LATE_NORM_RULES,
    RULES,
    STATELESS_RULES,
    beside_experts,
    joined_heads,
    state_spaces,
)
from export.checkpoint.gguf.rotation import stretched_by_tensors
from export.checkpoint.plan import Rule
from export.errors import CheckpointError, UnsupportedError

_HARMLESS: Final = frozenset({"vocab_size", "tensor_data_layout"})
"""Told by the tensors, against which it is held; how a file was made."""

_NO_EXPERTS: Final = frozenset({"expert_count", "expert_used_count"})
"""Files of dense models say zero here."""


class GgufArchitecture(msgspec.Struct, frozen=True, kw_only=True):
    """`read` turns the metadata under the architecture's name into a config.json.

    `further_rules` are those that depend on such values: how a tensor of several parts is cut.
    `is_permuted`: rows of query and key lie as llama.cpp rotates them, pairs side by side.
    `norm_offset`: how much larger the weights of norms are stored than the checkpoint has them.
    `is_tiled`: of states, value heads lie by their place in the group that shares a key head.
    """

    read: Callable[[Described], Values]
    rules: tuple[Rule, ...] = RULES
    further_rules: Callable[[Values], tuple[Rule, ...]] = lambda _: ()
    is_permuted: bool = False
    norm_offset: float = 0.0
    is_tiled: bool = False


ARCHITECTURES: Final[Mapping[str, GgufArchitecture]] = {
    "qwen2": GgufArchitecture(read=families.qwen2),
    "qwen3": GgufArchitecture(read=families.qwen3),
    "qwen3moe": GgufArchitecture(read=families.qwen3moe),
    "llama": GgufArchitecture(read=families.llama, is_permuted=True),
    "qwen2moe": GgufArchitecture(read=families.qwen2moe),
    "qwen3next": GgufArchitecture(read=families.qwen3next, rules=LATE_NORM_RULES, norm_offset=1.0),
    "qwen35": GgufArchitecture(
        read=families.qwen35, rules=APART_RULES, norm_offset=1.0, is_tiled=True
    ),
    "qwen35moe": GgufArchitecture(
        read=families.qwen35moe, rules=APART_RULES, norm_offset=1.0, is_tiled=True
    ),
    "deepseek2": GgufArchitecture(read=families.deepseek2),
    "granite": GgufArchitecture(read=families.granite, is_permuted=True),
    "granitemoe": GgufArchitecture(read=families.granitemoe, is_permuted=True),
    "olmoe": GgufArchitecture(read=families.olmoe),
    "phimoe": GgufArchitecture(read=families.phimoe),
    "gpt-oss": GgufArchitecture(read=families.gpt_oss, rules=LATE_NORM_RULES),
    "glm4moe": GgufArchitecture(read=families.glm4moe, rules=LATE_NORM_RULES),
    "ernie4_5-moe": GgufArchitecture(read=families.ernie4_5_moe),
    "gemma2": GgufArchitecture(read=families.gemma2, norm_offset=1.0),
    "gemma3": GgufArchitecture(read=families.gemma3, norm_offset=1.0),
    "gemma4": GgufArchitecture(
        read=further_families.gemma4, rules=BESIDE_RULES, further_rules=beside_experts
    ),
    "starcoder2": GgufArchitecture(read=families.starcoder2),
    "grok": GgufArchitecture(read=families.grok),
    "mellum": GgufArchitecture(read=families.mellum),
    "gemma": GgufArchitecture(read=further_families.gemma, norm_offset=1.0),
    "olmo2": GgufArchitecture(read=further_families.olmo2),
    "smollm3": GgufArchitecture(read=further_families.smollm3, is_permuted=True),
    "stablelm": GgufArchitecture(read=further_families.stablelm),
    "phi3": GgufArchitecture(
        read=further_families.phi3, rules=GATE_AND_UP_RULES, further_rules=joined_heads
    ),
    "internlm2": GgufArchitecture(read=further_families.internlm2, is_permuted=True),
    "minicpm3": GgufArchitecture(read=further_families.minicpm3),
    "starcoder": GgufArchitecture(read=further_families.starcoder, further_rules=joined_heads),
    "hunyuan-dense": GgufArchitecture(read=further_families.hunyuan_dense),
    "hunyuan-moe": GgufArchitecture(read=further_families.hunyuan_moe),
    "bailingmoe": GgufArchitecture(read=further_families.bailingmoe, is_permuted=True),
    "bailingmoe2": GgufArchitecture(read=further_families.bailingmoe2, further_rules=joined_heads),
    "minimax-m2": GgufArchitecture(read=further_families.minimax_m2),
    "lfm2": GgufArchitecture(read=further_families.lfm2),
    "lfm2moe": GgufArchitecture(read=further_families.lfm2moe),
    "granitehybrid": GgufArchitecture(
        read=further_families.granitehybrid,
        rules=STATELESS_RULES,
        further_rules=state_spaces,
        is_permuted=True,
    ),
    "nemotron_h_moe": GgufArchitecture(
        read=further_families.nemotron_h_moe, rules=BLOCK_RULES, further_rules=blocks
    ),
    "mistral3": GgufArchitecture(read=further_families.mistral3, is_permuted=True),
}


def find_architecture(metadata: Mapping[str, Any]) -> tuple[GgufArchitecture, Config]:
    """Return the architecture of a file's metadata, and what is said under its name.

    Raises UnsupportedError where it is not implemented.
    """
    kind = other_kind(metadata)
    if kind is not None:
        raise UnsupportedError(WHAT_IT_IS[kind])
    name = metadata.get("general.architecture")
    architecture = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if architecture is None:
        raise UnsupportedError(
            f"general.architecture = {name!r} is not implemented; there are "
            f"{', '.join(ARCHITECTURES)}, or give the checkpoint in safetensors"
        )
    values = {key: _counted(value) for key, value in under(metadata, f"{name}.").items()}
    if not values.get("expert_count"):
        values = {key: value for key, value in values.items() if key not in _NO_EXPERTS}
    title = f"{name} in the metadata"
    return architecture, Config(values | _layers(Config(values, title)), title)


def read_values(
    architecture: GgufArchitecture, config: Config, headers: Mapping[str, TensorHeader]
) -> Values:
    """Return the values of a config.json. Raises UnsupportedError for a key that nobody reads."""
    values = architecture.read(Described(config, headers))
    values |= stretched_by_tensors(headers, values, config)
    for key in config.unread():
        if key not in _HARMLESS:
            raise UnsupportedError(
                f"the metadata says {key}, which is not implemented; give the checkpoint in "
                "safetensors"
            )
    return values


def _layers(config: Config) -> dict[str, Any]:
    """Count the layers without those that predict further tokens, which lie behind them."""
    num_layers = config.integer("block_count")
    num_further = config.integer("nextn_predict_layers", default=0, minimum=0)
    if num_further >= num_layers:
        raise CheckpointError(
            f"the metadata say nextn_predict_layers = {num_further} of {num_layers} layers"
        )
    return {"block_count": num_layers - num_further}


def _counted(value: object) -> object:
    """Return truths of a list as 0 and 1, as llama.cpp reads them: some files say one or other."""
    if not isinstance(value, list):
        return value
    listed = cast("list[object]", value)
    return [int(one) if isinstance(one, bool) else one for one in listed]
