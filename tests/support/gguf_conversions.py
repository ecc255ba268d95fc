"""What llama.cpp's converters do to each family: how tensors are changed, what metadata is written.

As in the classes of conversion/*.py of ggml-org/llama.cpp, whose names are quoted; the rest they
inherit from `TextModel`, which gguf_files has.
"""

import math
from collections.abc import Mapping
from typing import Final

import gguf
import numpy as np

from tests.support.gguf_conversion_steps import (
    SIGMOID,
    Config,
    Conversion,
    Float32,
    Named,
    as_it_is,
    head_dim,
    nothing_more,
    paired,
    raised_norms,
    write_expert_size,
    write_llama,
    write_routed,
)
from tests.support.gguf_further_conversions import FURTHER_CONVERSIONS


def granite(config: Config, name: str, values: Float32) -> Named:
    """`GraniteMoeModel`: gate and up lie in one tensor."""
    for part, ending in (("block_sparse_moe", "exps"), ("shared_mlp", "shexp")):
        if f"{part}.input_linear" in name:
            layer = name.split(".")[2]
            gate, up = np.split(values, 2, axis=-2)
            yield f"blk.{layer}.ffn_gate_{ending}.weight", gate
            yield f"blk.{layer}.ffn_up_{ending}.weight", up
            return
    yield from paired(config, name, values)


def latent(config: Config, name: str, values: Float32) -> Named:
    """`DeepseekV2Model`: what absorbs the latents lies apart, that of the keys transposed."""
    if not name.endswith("kv_b_proj.weight"):
        yield name, values
        return
    heads, nope = config["num_attention_heads"], config["qk_nope_head_dim"]
    keys, read = np.split(values.reshape(heads, -1, values.shape[1]), [nope], axis=1)
    yield name.replace("kv_b_proj", "k_b_proj"), keys.swapaxes(1, 2)
    yield name.replace("kv_b_proj", "v_b_proj"), read


def delta(config: Config, name: str, values: Float32) -> Named:
    """`Qwen3NextModel`."""
    if name.endswith(".A_log"):
        yield name, -np.exp(values)
    elif name.endswith(".dt_bias"):
        yield name.replace(".dt_bias", ".dt_proj.bias"), values
    elif "conv1d" in name:
        yield name, values.squeeze()
    elif name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
        yield name, values + 1
    elif "in_proj_qkvz" in name:
        layer, heads = name.split(".")[2], config["linear_num_key_heads"]
        key = config["linear_key_head_dim"]
        value = config["linear_num_value_heads"] // heads * config["linear_value_head_dim"]
        mixed = values.reshape(heads, -1, values.shape[1])
        *inputs, gate = np.split(mixed, [key, 2 * key, 2 * key + value], axis=1)
        flat = [part.reshape(-1, values.shape[1]) for part in inputs]
        yield f"blk.{layer}.attn_qkv.weight", np.concatenate(flat)
        yield f"blk.{layer}.attn_gate.weight", gate.reshape(-1, values.shape[1])
    else:
        yield name, values


def tiled(config: Config, name: str, values: Float32) -> Named:
    """`_LinearAttentionVReorderBase`, then what Qwen3-Next's does."""
    keys, heads = config["linear_num_key_heads"], config["linear_num_value_heads"]
    size, num_keys = config["linear_value_head_dim"], 2 * keys * config["linear_key_head_dim"]

    def reordered(part: Float32, rows: int) -> Float32:
        grouped = part.reshape(keys, heads // keys, rows, *part.shape[1:])
        return grouped.swapaxes(0, 1).reshape(part.shape)

    if "in_proj_qkv" in name or "conv1d" in name:
        values = np.concatenate([values[:num_keys], reordered(values[num_keys:], size)])
    elif "in_proj_z" in name:
        values = reordered(values, size)
    elif name.endswith(("in_proj_a.weight", "in_proj_b.weight", ".A_log", ".dt_bias")):
        values = reordered(values, 1)
    elif name.endswith("linear_attn.out_proj.weight"):
        values = reordered(values.T, size).T
    if name.endswith("experts.gate_up_proj"):
        for part, rows in zip(("gate", "up"), np.split(values, 2, axis=1), strict=True):
            yield name.replace("gate_up_proj", f"{part}_proj.weight"), rows
    elif name.endswith("experts.down_proj"):
        yield f"{name}.weight", values
    else:
        yield from delta(config, name, values)


def gpt_oss(config: Config, name: str, values: Float32) -> Named:
    """`GptOssModel`, of matrices that are not MXFP4: transposed, gate and up in turn."""
    if "sinks" in name:
        yield f"{name}.weight", values
    elif "down_proj" in name:
        is_bias = name.endswith("_bias")
        name = name.replace("down_proj_bias", "down_proj.bias") if is_bias else f"{name}.weight"
        yield name, values if is_bias else values.swapaxes(1, 2)
    elif "gate_up_proj" in name:
        is_bias = name.endswith("_bias")
        rows = values if is_bias else values.swapaxes(1, 2)
        ending = "bias" if is_bias else "weight"
        for index, part in enumerate(("gate_proj", "up_proj")):
            stem = name.replace("gate_up_proj_bias", part).replace("gate_up_proj", part)
            yield f"{stem}.{ending}", rows[:, index::2]
    else:
        yield name, values


def grok(config: Config, name: str, values: Float32) -> Named:
    """`GrokModel`, from the names of its conversions for transformers."""
    experts = {"linear": "w1", "linear_1": "w2", "linear_v": "w3"}
    parts = name.split(".")
    if "experts" in parts:
        stem = f"model.layers.{parts[2]}.block_sparse_moe.experts.{parts[5]}"
        yield f"{stem}.{experts[parts[6]]}.weight", values
        return
    name = name.replace(".attn.", ".self_attn.").replace("moe_block.", "block_sparse_moe.")
    yield name.replace(".scale", ".weight"), values


def write_granite(writer: gguf.GGUFWriter, config: Config) -> None:
    write_llama(writer, config)
    writer.add_attention_scale(config["attention_multiplier"])
    writer.add_embedding_scale(config["embedding_multiplier"])
    writer.add_residual_scale(config["residual_multiplier"])
    writer.add_logit_scale(config["logits_scaling"])
    if "shared_intermediate_size" in config:
        writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])


def write_qwen2_moe(writer: gguf.GGUFWriter, config: Config) -> None:
    if "moe_intermediate_size" in config:
        write_expert_size(writer, config)
    if "shared_expert_intermediate_size" in config:
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])


def write_qwen3_next(writer: gguf.GGUFWriter, config: Config) -> None:
    write_qwen2_moe(writer, config)
    value_heads = config["linear_num_value_heads"]
    writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
    writer.add_ssm_state_size(config["linear_key_head_dim"])
    writer.add_ssm_group_count(config["linear_num_key_heads"])
    writer.add_ssm_time_step_rank(value_heads)
    writer.add_ssm_inner_size(config["linear_value_head_dim"] * value_heads)
    writer.add_full_attention_interval(config.get("full_attention_interval", 4))
    share = config.get("rope_parameters", config)["partial_rotary_factor"]
    writer.add_rope_dimension_count(int(head_dim(config) * share))


def write_qwen3_5(writer: gguf.GGUFWriter, config: Config) -> None:
    write_qwen3_next(writer, config)
    writer.add_rope_dimension_sections([11, 11, 10, 0])


def write_deepseek(writer: gguf.GGUFWriter, config: Config) -> None:
    rank, rotated = config["kv_lora_rank"], config["qk_rope_head_dim"]
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_vocab_size(config["vocab_size"])
    if config["q_lora_rank"] is not None:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(rank + rotated)
    writer.add_value_length(rank)
    writer.add_key_length_mla(config["qk_nope_head_dim"] + rotated)
    writer.add_value_length_mla(config["v_head_dim"])
    write_routed(writer, config)
    writer.add_rope_dimension_count(rotated)
    share = (config.get("rope_scaling") or {}).get("mscale_all_dim")
    if share is not None:
        writer.add_rope_scaling_yarn_log_mul(0.1 * share)


def write_deepseek_v3(writer: gguf.GGUFWriter, config: Config) -> None:
    write_deepseek(writer, config)
    writer.add_expert_gating_func(SIGMOID)


def write_glm4_moe(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_rope_dimension_count(int(head_dim(config) * config["partial_rotary_factor"]))
    write_routed(writer, config)
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_gating_func(SIGMOID)
    writer.add_nextn_predict_layers(config["num_nextn_predict_layers"])


def write_ernie(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_expert_count(config["moe_num_experts"])
    writer.add_expert_used_count(config["moe_k"])
    writer.add_interleave_moe_layer_step(config.get("moe_layer_interval", 1))
    writer.add_leading_dense_block_count(config["moe_layer_start_index"])
    write_expert_size(writer, config)
    writer.add_expert_shared_count(config["moe_num_shared_experts"])
    shared = config["intermediate_size"] // config["num_key_value_heads"]
    writer.add_expert_shared_feed_forward_length(shared)


def write_gpt_oss(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_sliding_window(config["sliding_window"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])


def write_gemma2(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
    writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    writer.add_sliding_window(config["sliding_window"])


def write_gemma3(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_rope_freq_base_swa(config["rope_local_base_freq"])
    writer.add_sliding_window(config["sliding_window"])


def write_phimoe(writer: gguf.GGUFWriter, config: Config) -> None:
    scaling = config.get("rope_scaling") or {}
    limit = config["max_position_embeddings"]
    original = scaling.get("original_max_position_embeddings", limit)
    writer.add_rope_scaling_orig_ctx_len(original)
    writer.add_rope_dimension_count(head_dim(config))
    writer.add_sliding_window(config.get("sliding_window") or 0)
    if not scaling:
        return
    factor = math.sqrt(1 + math.log(limit / original) / math.log(original))
    writer.add_rope_scaling_attn_factors(factor)
    for name in ("long", "short"):
        factors = np.array(scaling[f"{name}_factor"], np.float32)
        writer.add_tensor(f"rope_factors_{name}.weight", factors)


def write_grok(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_attn_logit_softcapping(config["max_attn_value"])
    writer.add_router_logit_softcapping(30.0)
    writer.add_attn_output_scale(config["attn_output_multiplier"])
    writer.add_embedding_scale(config["embedding_multiplier_scale"])
    writer.add_logit_scale(config["output_multiplier_scale"])


def write_mellum(writer: gguf.GGUFWriter, config: Config) -> None:
    write_expert_size(writer, config)
    writer.add_sliding_window(config["sliding_window"])
    kinds = config["layer_types"]
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in kinds])


CONVERSIONS: Final[Mapping[str, Conversion]] = {
    "qwen2": ("qwen2", as_it_is, nothing_more),
    "qwen3": ("qwen3", as_it_is, nothing_more),
    "qwen3_moe": ("qwen3moe", as_it_is, write_expert_size),
    "llama": ("llama", paired, write_llama),
    "mixtral": ("llama", paired, write_llama),
    "qwen2_moe": ("qwen2moe", as_it_is, write_qwen2_moe),
    "qwen3_next": ("qwen3next", delta, write_qwen3_next),
    "qwen3_5_text": ("qwen35", tiled, write_qwen3_5),
    "qwen3_5_moe_text": ("qwen35moe", tiled, write_qwen3_5),
    "deepseek_v2": ("deepseek2", latent, write_deepseek),
    "deepseek_v3": ("deepseek2", latent, write_deepseek_v3),
    "glm4_moe_lite": ("deepseek2", latent, write_deepseek_v3),
    "granite": ("granite", granite, write_granite),
    "granitemoe": ("granitemoe", granite, write_granite),
    "granitemoeshared": ("granitemoe", granite, write_granite),
    "olmoe": ("olmoe", as_it_is, nothing_more),
    "phimoe": ("phimoe", as_it_is, write_phimoe),
    "gpt_oss": ("gpt-oss", gpt_oss, write_gpt_oss),
    "glm4_moe": ("glm4moe", as_it_is, write_glm4_moe),
    "ernie4_5_moe": ("ernie4_5-moe", as_it_is, write_ernie),
    "gemma2": ("gemma2", raised_norms, write_gemma2),
    "gemma3_text": ("gemma3", raised_norms, write_gemma3),
    "starcoder2": ("starcoder2", as_it_is, nothing_more),
    "grok-1": ("grok", grok, write_grok),
    "mellum": ("mellum", as_it_is, write_mellum),
    **FURTHER_CONVERSIONS,
}
"""By model type: the architecture's name, what is done to tensors, and what is written beside."""

NAMES_OF: Final = {"mellum": "qwen3moe"}
"""Architectures that the library's own tables do not have, and whose names theirs are."""
