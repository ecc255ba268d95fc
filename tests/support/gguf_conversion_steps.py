"""What several families have in common when llama.cpp's converters write them."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Config = Mapping[str, Any]
Named = Iterator[tuple[str, Float32]]
Modify = Callable[[Config, str, Float32], Named]
Write = Callable[[gguf.GGUFWriter, Config], None]
Conversion = tuple[str, Modify, Write]

SIGMOID: Final = gguf.ExpertGatingFuncType.SIGMOID


def as_it_is(config: Config, name: str, values: Float32) -> Named:
    yield name, values


def nothing_more(writer: gguf.GGUFWriter, config: Config) -> None:
    """Write what all families have."""


def paired(config: Config, name: str, values: Float32) -> Named:
    """`LlamaModel.permute`."""
    for part, key in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
        if f".{part}." in name:
            size = values.shape[0] // config[key] // 2
            halves = values.reshape(config[key], 2, size, *values.shape[1:])
            values = halves.swapaxes(1, 2).reshape(values.shape)
    yield name, values


def raised_norms(config: Config, name: str, values: Float32) -> Named:
    """`Gemma2Model`, `Gemma3Model`."""
    yield name, values + 1 if name.endswith("norm.weight") else values


def write_llama(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_dimension_count(head_dim(config))
    scaling = config.get("rope_scaling") or {}
    if scaling.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config, scaling))


def llama3_factors(config: Config, scaling: Config) -> Float32:
    """`LlamaModel.generate_extra_tensors`."""
    size, factor = head_dim(config), scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    found: list[float] = []
    for pair in range(0, size, 2):
        turns = scaling["original_max_position_embeddings"] / (
            2 * math.pi * config["rope_theta"] ** (pair / size)
        )
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, np.float32)


def write_expert_size(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])


def write_routed(writer: gguf.GGUFWriter, config: Config) -> None:
    write_expert_size(writer, config)
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    if "routed_scaling_factor" in config:
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
    if config.get("norm_topk_prob"):
        writer.add_expert_weights_norm(value=True)


def head_dim(config: Config) -> int:
    return config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
