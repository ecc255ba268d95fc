"""What the metadata of a GGUF file say about a decoder, in the keys of a config.json.

The keys are those of ggml's docs/gguf.md and of llama.cpp's loader (src/llama-arch.cpp); what they
become is read by the same family files as a published config.json.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from export.checkpoint.config import Config
from export.errors import CheckpointError, UnsupportedError

Values = dict[str, Any]

SOFTMAX, SIGMOID = 1, 2
"""llama.cpp's numbers of the functions that score experts; none, 0, is softmax."""

WINDOWED: Final = ("full_attention", "sliding_attention")


class Described(msgspec.Struct, frozen=True):
    """The metadata under the architecture's name, and the names of the tensors."""

    config: Config
    tensors: Collection[str]

    @property
    def has_biases(self) -> bool:
        return "blk.0.attn_q.bias" in self.tensors

    @property
    def num_experts(self) -> int:
        return self.config.integer("expert_count", default=0, minimum=0)


def decoder(file: Described) -> Values:
    """Read what all decoders have whose heads are rotated whole."""
    values = partly_rotated(file)
    file.config.require("rope.dimension_count", values["head_dim"])
    del values["partial_rotary_factor"]
    return values


def partly_rotated(file: Described) -> Values:
    config = file.config
    num_heads = config.integer("attention.head_count")
    hidden_size = config.integer("embedding_length")
    head_dim = config.integer("attention.key_length", default=hidden_size // num_heads)
    config.require("attention.value_length", head_dim)
    rotary_dim = config.integer("rope.dimension_count", default=head_dim)
    return {
        **sizes(file),
        **norm(file),
        "head_dim": head_dim,
        "num_key_value_heads": num_key_heads(file),
        "partial_rotary_factor": rotary_dim / head_dim,
        **rope_scaling(file),
    }


def num_key_heads(file: Described) -> int:
    """Return how many there are in the layers that have any, all of which have as many."""
    found = set(key_heads(file)) - {0}
    if len(found) != 1:
        raise UnsupportedError(
            f"the metadata say attention.head_count_kv = {sorted(found)}; layers of one number and "
            "of none are implemented"
        )
    return found.pop()


def key_heads(file: Described) -> tuple[int, ...]:
    """Return how many each layer has, which is one number for all or a list."""
    config, key = file.config, "attention.head_count_kv"
    num_layers = config.integer("block_count")
    found = config.integers(key) or (config.integer("attention.head_count"),)
    found = found * num_layers if len(found) == 1 else found
    if len(found) != num_layers or min(found) < 0:
        raise CheckpointError(f"the metadata say {key} = {found} for {num_layers} layers")
    return found


def sizes(file: Described) -> Values:
    config = file.config
    config.require("attention.causal", True)
    return {
        "hidden_act": "silu",
        "hidden_size": config.integer("embedding_length"),
        **_dense_size(file),
        "max_position_embeddings": config.integer("context_length"),
        "num_attention_heads": config.integer("attention.head_count"),
        "num_hidden_layers": config.integer("block_count"),
        "rope_theta": shortest(config.number("rope.freq_base", default=10_000.0)),
    }


def _dense_size(file: Described) -> Values:
    """Read the size of dense parts, which files need not say where all layers have experts."""
    if file.num_experts and not file.config.has("feed_forward_length"):
        return {}
    return {"intermediate_size": file.config.integer("feed_forward_length")}


def norm(file: Described) -> Values:
    epsilon = shortest(file.config.number("attention.layer_norm_rms_epsilon"))
    return {"rms_norm_eps": epsilon}


def rope_scaling(file: Described) -> Values:
    """Read how the rotation is stretched, but for what tensors say about it."""
    config = file.config
    config.require("rope.scaling.type", "none", "linear", "yarn", "longrope")
    config.require("rope.scaling.finetuned", True, False)
    match kind := config.text("rope.scaling.type", default="none"):
        case "linear":
            factor = shortest(config.number("rope.scaling.factor"))
            return {"rope_scaling": {"rope_type": kind, "factor": factor}}
        case "yarn":
            return {"rope_scaling": _yarn(config)}
        case _:
            config.require("rope.scaling.factor", 1.0)
            return {}


def _yarn(config: Config) -> Values:
    config.require("rope.scaling.yarn_ext_factor", 1.0)
    found: Values = {
        "rope_type": "yarn",
        "factor": shortest(config.number("rope.scaling.factor")),
        "original_max_position_embeddings": config.integer("rope.scaling.original_context_length"),
    }
    for key, name in (
        ("beta_fast", "yarn_beta_fast"),
        ("beta_slow", "yarn_beta_slow"),
        ("attention_factor", "yarn_attn_factor"),
    ):
        if config.has(f"rope.scaling.{name}"):
            found[key] = shortest(config.number(f"rope.scaling.{name}"))
    return found


def experts(file: Described, *, are_weights_normed: bool, count_key: str = "num_experts") -> Values:
    """Read experts that softmax scores, of a size of their own or that of dense layers."""
    config = file.config
    config.require("expert_gating_func", SOFTMAX, 0)
    config.require("expert_group_count", 0, 1)
    config.require("expert_group_used_count", 0, 1)
    config.require("expert_weights_norm", are_weights_normed)
    config.require("expert_weights_scale", 1.0, 0.0)
    return {
        count_key: config.integer("expert_count"),
        "num_experts_per_tok": config.integer("expert_used_count"),
    }


def expert_size(file: Described) -> int:
    config = file.config
    default = config.integer("feed_forward_length")
    return config.integer("expert_feed_forward_length", default=default)


def routed(file: Described) -> Values:
    """Read DeepSeek's experts, which others took over: dense layers first, shared ones, groups."""
    config = file.config
    num_groups = max(1, config.integer("expert_group_count", default=1, minimum=0))
    num_chosen = max(1, config.integer("expert_group_used_count", default=1, minimum=0))
    return {
        "first_k_dense_replace": config.integer("leading_dense_block_count", default=0, minimum=0),
        "moe_intermediate_size": config.integer("expert_feed_forward_length"),
        "n_group": num_groups,
        "n_routed_experts": config.integer("expert_count"),
        "n_shared_experts": config.integer("expert_shared_count"),
        "norm_topk_prob": config.boolean("expert_weights_norm", default=False),
        "num_experts_per_tok": config.integer("expert_used_count"),
        "routed_scaling_factor": shortest(config.number("expert_weights_scale", default=1.0)),
        "topk_group": num_chosen,
    }


def window(file: Described) -> Values:
    """Read the window that all layers have, or none."""
    size = file.config.integer("attention.sliding_window", default=0, minimum=0)
    return {"sliding_window": size} if size else {}


def windows_by_turns(file: Described, *, default_period: int) -> Values:
    """Read a window and which layers have it: all but every n-th, or those that a list names."""
    size = file.config.integer("attention.sliding_window", default=0, minimum=0)
    num_layers = file.config.integer("block_count")
    pattern = file.config.integers("attention.sliding_window_pattern") or (default_period,)
    if not size:
        return {"layer_types": [WINDOWED[0]] * num_layers}
    if len(pattern) == 1:
        period = pattern[0]
        pattern = [not period or index % period < period - 1 for index in range(num_layers)]
    return {
        "layer_types": _by_layer(pattern, "attention.sliding_window_pattern", num_layers, WINDOWED),
        "sliding_window": size,
    }


def recurrent_by_turns(file: Described) -> Values:
    """Read which layers keep a state: all but every n-th, or those that a list names."""
    kinds = ("full_attention", "linear_attention")
    key, num_layers = "attention.recurrent_layers", file.config.integer("block_count")
    interval = file.config.integer("full_attention_interval", default=4)
    pattern = file.config.integers(key) or [
        (index + 1) % interval != 0 for index in range(num_layers)
    ]
    return {"layer_types": _by_layer(pattern, key, num_layers, kinds)}


def _by_layer(pattern: Sequence[int], key: str, num_layers: int, kinds: Sequence[str]) -> list[str]:
    if len(pattern) != num_layers:
        raise CheckpointError(f"the metadata say {key} of {len(pattern)} for {num_layers} layers")
    return [kinds[bool(one)] for one in pattern]


def shortest(value: float) -> float:
    """Return the number that somebody wrote before it was stored as float32: 1e-6, not 9.99e-7."""
    with np.errstate(over="ignore"):
        found = float(str(np.float32(value)))
    return found if 0.0 < found < float("inf") else value
