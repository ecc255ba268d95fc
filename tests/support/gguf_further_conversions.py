"""What llama.cpp's converters do to further families, as in gguf_conversions."""

import math
from collections.abc import Mapping
from typing import Final

import gguf
import numpy as np

from tests.support.gguf_conversion_steps import (
    Config,
    Conversion,
    Float32,
    Named,
    as_it_is,
    head_dim,
    nothing_more,
    paired,
    raised_norms,
    write_llama,
)


def internlm2(config: Config, name: str, values: Float32) -> Named:
    """`InternLM2Model`: each key head's queries, key and value are taken apart."""
    if not name.endswith("wqkv.weight"):
        yield name, values
        return
    num_keys = config["num_key_value_heads"]
    group = config["num_attention_heads"] // num_keys
    heads = values.reshape(num_keys, group + 2, -1, values.shape[1])
    parts = zip("qkv", np.split(heads, [group, group + 1], axis=1), strict=True)
    layer = name.split(".")[2]
    for part, rows in parts:
        stem = f"model.layers.{layer}.self_attn.{part}_proj.weight"
        yield from paired(config, stem, rows.reshape(-1, values.shape[1]))


def write_olmo3(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_sliding_window(config["sliding_window"])
    layers = range(config["num_hidden_layers"])
    writer.add_sliding_window_pattern([(layer + 1) % 4 != 0 for layer in layers])


def write_stablelm(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_rope_dimension_count(int(head_dim(config) * config["partial_rotary_factor"]))
    writer.add_parallel_residual(config.get("use_parallel_residual", True))
    writer.add_layer_norm_eps(config["layer_norm_eps"])


def write_phi3(writer: gguf.GGUFWriter, config: Config) -> None:
    limit, original = (config[f"{key}max_position_embeddings"] for key in ("", "original_"))
    writer.add_rope_scaling_orig_ctx_len(original)
    writer.add_rope_dimension_count(int(head_dim(config) * config.get("partial_rotary_factor", 1)))
    writer.add_sliding_window(config.get("sliding_window") or 0)
    scaling = config.get("rope_scaling")
    if scaling is None:
        return
    factor = math.sqrt(1 + math.log(limit / original) / math.log(original))
    writer.add_rope_scaling_attn_factors(factor)
    write_factors(writer, scaling)


def write_factors(writer: gguf.GGUFWriter, scaling: Config) -> None:
    for name in ("long", "short"):
        factors = np.array(scaling[f"{name}_factor"], np.float32)
        writer.add_tensor(f"rope_factors_{name}.weight", factors)


FURTHER_CONVERSIONS: Final[Mapping[str, Conversion]] = {
    "gemma": ("gemma", raised_norms, nothing_more),
    "smollm3": ("smollm3", paired, write_llama),
    "olmo2": ("olmo2", as_it_is, nothing_more),
    "olmo3": ("olmo2", as_it_is, write_olmo3),
    "stablelm": ("stablelm", as_it_is, write_stablelm),
    "phi3": ("phi3", as_it_is, write_phi3),
    "internlm2": ("internlm2", internlm2, nothing_more),
}
