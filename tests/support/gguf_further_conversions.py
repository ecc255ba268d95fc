"""What llama.cpp's converters do to further families, as in gguf_conversions."""

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


def bailing(config: Config, name: str, values: Float32) -> Named:
    """`BailingMoeModel`."""
    if name == "lm_head.weight" and config.get("norm_head"):
        yield name, values / (np.linalg.norm(values, axis=0, keepdims=True) + np.float32(1e-7))
    elif name.endswith("query_key_value.weight"):
        size, num_keys = head_dim(config), config["num_key_value_heads"]
        ends = np.cumsum([config["num_attention_heads"] * size, num_keys * size])
        for part, rows in zip("qkv", np.split(values, ends), strict=True):
            layer = name.split(".")[2]
            yield from paired(config, f"model.layers.{layer}.self_attn.{part}_proj.weight", rows)
    else:
        yield name, values


def convolved(config: Config, name: str, values: Float32) -> Named:
    """`LFM2Model`, `LFM2MoeModel`."""
    name = name.replace("model.layers", "layers") if ".experts." in name else name
    yield name, values.squeeze(1) if "conv.conv" in name else values


def state_spaces(config: Config, name: str, values: Float32) -> Named:
    """`GraniteHybridModel`, `Mamba2Model`: the latter's shapes, and gate and up apart."""
    for part, ending in (("block_sparse_moe", "exps"), ("shared_mlp", "shexp")):
        if f"{part}.input_linear" in name:
            for half, rows in zip(("gate", "up"), np.split(values, 2, axis=-2), strict=True):
                yield f"blk.{name.split('.')[2]}.ffn_{half}_{ending}.weight", rows
            return
    if name.endswith(".dt_bias"):
        yield name.replace(".dt_bias", ".dt_proj.bias"), values
    elif name.endswith(".A_log"):
        yield name, -np.exp(values)[:, None]
    elif name.endswith(".D"):
        yield name, values[:, None]
    elif name.endswith("conv1d.weight"):
        yield name, values.squeeze(1)
    elif name.endswith("mamba.norm.weight"):
        yield name, values.reshape(config["mamba_n_groups"], -1)
    else:
        yield from paired(config, name, values)


def write_granite_hybrid(writer: gguf.GGUFWriter, config: Config) -> None:
    write_llama(writer, config)
    writer.add_attention_scale(config["attention_multiplier"])
    writer.add_embedding_scale(config["embedding_multiplier"])
    writer.add_residual_scale(config["residual_multiplier"])
    writer.add_logit_scale(config["logits_scaling"])
    writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])
    writer.add_ssm_conv_kernel(config["mamba_d_conv"])
    writer.add_ssm_state_size(config["mamba_d_state"])
    writer.add_ssm_group_count(config["mamba_n_groups"])
    writer.add_ssm_inner_size(config["mamba_expand"] * config["hidden_size"])
    writer.add_ssm_time_step_rank(config["mamba_n_heads"])
    kinds = config["layer_types"]
    writer.add_head_count_kv([config["num_key_value_heads"] * (one != "mamba") for one in kinds])
    writer.add_rope_scaling_finetuned(False)


def gemma4(config: Config, name: str, values: Float32) -> Named:
    """`Gemma4Model`."""
    layer = name.split(".")[2]
    if name.endswith("router.scale"):
        yield f"blk.{layer}.ffn_gate_inp.scale", values
    elif name.endswith("per_expert_scale"):
        yield f"blk.{layer}.ffn_down_exps.scale", values
    elif name.endswith("layer_scalar") or ".experts." in name:
        yield f"{name}.weight", values
    else:
        yield name, values


def write_gemma4(writer: gguf.GGUFWriter, config: Config) -> None:
    kinds = [kind == "sliding_attention" for kind in config["layer_types"]]
    size, local_size = config["global_head_dim"], config["head_dim"]
    heads = config["num_key_value_heads"]
    global_heads = config.get("num_global_key_value_heads")
    writer.add_shared_kv_layers(0)
    writer.add_embedding_length_per_layer_input(0)
    writer.add_sliding_window(config["sliding_window"])
    writer.add_sliding_window_pattern(kinds)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_key_length_swa(local_size)
    writer.add_value_length_swa(local_size)
    if global_heads is not None:
        writer.add_head_count_kv([heads if is_local else global_heads for is_local in kinds])
    if config.get("enable_moe_block"):
        writer.add_expert_used_count(config["top_k_experts"])
        write_expert_size(writer, config)
    writer.add_rope_dimension_count(size)
    writer.add_rope_dimension_count_swa(local_size)
    parameters = config["rope_parameters"]
    writer.add_rope_freq_base_swa(parameters["sliding_attention"]["rope_theta"])
    writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    num_rotated = int(size * parameters["full_attention"]["partial_rotary_factor"] / 2)
    factors = [1.0] * num_rotated + [1e30] * (size // 2 - num_rotated)
    writer.add_tensor("rope_freqs.weight", np.array(factors, np.float32))


def nemotron(config: Config, name: str, values: Float32) -> Named:
    """`NemotronHModel` with experts."""
    if name.endswith(".dt_bias"):
        yield name.replace(".dt_bias", ".dt.bias"), values
    elif name.endswith(".A_log"):
        yield name, -np.exp(values)[:, None]
    elif name.endswith(".D"):
        yield name, values[:, None]
    elif name.endswith("conv1d.weight"):
        yield name, values.squeeze(1)
    elif name.endswith("mixer.norm.weight"):
        yield name, values.reshape(config["n_groups"], -1)
    elif ".experts." in name:
        yield name.replace("backbone", "model").replace("mixer", "mlp"), values
    else:
        yield name, values


def write_nemotron(writer: gguf.GGUFWriter, config: Config) -> None:
    write_routed(writer, config)
    pattern = config["hybrid_override_pattern"]
    size, heads = config["moe_intermediate_size"], config["num_key_value_heads"]
    writer.add_feed_forward_length([size * (kind == "E") for kind in pattern])
    writer.add_head_count_kv([heads * (kind == "*") for kind in pattern])
    writer.add_layer_norm_rms_eps(config["layer_norm_epsilon"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_expert_shared_feed_forward_length(config["moe_shared_expert_intermediate_size"])
    writer.add_ssm_conv_kernel(config["conv_kernel"])
    writer.add_ssm_state_size(config["ssm_state_size"])
    writer.add_ssm_group_count(config["n_groups"])
    writer.add_ssm_inner_size(config["mamba_num_heads"] * config["mamba_head_dim"])
    writer.add_ssm_time_step_rank(config["mamba_num_heads"])
    writer.add_rope_scaling_finetuned(False)
    if "moe_latent_size" in config:
        writer.add_moe_latent_size(config["moe_latent_size"])


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


def write_minicpm3(writer: gguf.GGUFWriter, config: Config) -> None:
    rotated = config["qk_rope_head_dim"]
    writer.add_vocab_size(config["vocab_size"])
    writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    writer.add_key_length(config["qk_nope_head_dim"] + rotated)
    writer.add_rope_dimension_count(rotated)
    write_factors(writer, config["rope_scaling"])


def write_starcoder(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_head_count_kv(1)
    writer.add_layer_norm_eps(config.get("layer_norm_epsilon", 1e-5))


def write_hunyuan(writer: gguf.GGUFWriter, config: Config) -> None:
    size = head_dim(config)
    theta = config["rope_theta"] * config["rope_scaling"]["alpha"] ** (size / (size - 2))
    writer.add_rope_freq_base(theta)
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    writer.add_rope_scaling_factor(1)
    writer.add_rope_scaling_orig_ctx_len(256 * 1024)


def write_hunyuan_moe(writer: gguf.GGUFWriter, config: Config) -> None:
    write_hunyuan(writer, config)
    size = config["intermediate_size"]
    writer.add_expert_shared_feed_forward_length(size)
    writer.add_expert_feed_forward_length(size)
    writer.add_expert_used_count(config["moe_topk"][0])
    writer.add_expert_shared_count(1)


def write_bailing(writer: gguf.GGUFWriter, config: Config) -> None:
    share = config.get("partial_rotary_factor", 1.0)
    writer.add_rope_dimension_count(int(head_dim(config) * share))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_leading_dense_block_count(config.get("first_k_dense_replace", 0))
    write_expert_size(writer, config)
    writer.add_expert_weights_scale(config.get("routed_scaling_factor", 1.0))
    writer.add_expert_shared_count(config["num_shared_experts"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])


def write_bailing2(writer: gguf.GGUFWriter, config: Config) -> None:
    write_bailing(writer, config)
    size = config["moe_intermediate_size"] * config["num_shared_experts"]
    writer.add_expert_shared_feed_forward_length(size)
    writer.add_expert_gating_func(SIGMOID)


def write_minimax(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_rope_dimension_count(config["rotary_dim"])
    writer.add_expert_gating_func(SIGMOID)


def write_lfm2(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_head_count_kv(
        [config["num_key_value_heads"] * (kind != "conv") for kind in config["layer_types"]]
    )
    writer.add_vocab_size(config["vocab_size"])
    writer.add_shortconv_l_cache(config.get("conv_L_cache", 3))
    writer.add_layer_norm_rms_eps(config["norm_eps"])
    step = config.get("block_multiple_of")
    if step is not None:
        writer.add_feed_forward_length(-(-(2 * config["intermediate_size"] // 3) // step) * step)


def write_lfm2_moe(writer: gguf.GGUFWriter, config: Config) -> None:
    write_lfm2(writer, config)
    write_expert_size(writer, config)
    writer.add_leading_dense_block_count(config["num_dense_layers"])
    writer.add_expert_gating_func(SIGMOID)


def write_mistral3(writer: gguf.GGUFWriter, config: Config) -> None:
    write_llama(writer, config)
    parameters = config["rope_parameters"]
    writer.add_rope_scaling_yarn_log_mul(parameters["mscale_all_dim"])
    writer.add_attn_temperature_scale(parameters["llama_4_scaling_beta"])


FURTHER_CONVERSIONS: Final[Mapping[str, Conversion]] = {
    "gemma": ("gemma", raised_norms, nothing_more),
    "gemma4_text": ("gemma4", gemma4, write_gemma4),
    "smollm3": ("smollm3", paired, write_llama),
    "olmo2": ("olmo2", as_it_is, nothing_more),
    "olmo3": ("olmo2", as_it_is, write_olmo3),
    "stablelm": ("stablelm", as_it_is, write_stablelm),
    "phi3": ("phi3", as_it_is, write_phi3),
    "internlm2": ("internlm2", internlm2, nothing_more),
    "minicpm3": ("minicpm3", as_it_is, write_minicpm3),
    "gpt_bigcode": ("starcoder", as_it_is, write_starcoder),
    "hunyuan_v1_dense": ("hunyuan-dense", as_it_is, write_hunyuan),
    "hunyuan_v1_moe": ("hunyuan-moe", as_it_is, write_hunyuan_moe),
    "bailing_moe": ("bailingmoe", bailing, write_bailing),
    "bailing_moe_v2": ("bailingmoe2", as_it_is, write_bailing2),
    "nemotron_h": ("nemotron_h_moe", nemotron, write_nemotron),
    "minimax_m2": ("minimax-m2", as_it_is, write_minimax),
    "lfm2": ("lfm2", convolved, write_lfm2),
    "granitemoehybrid": ("granitehybrid", state_spaces, write_granite_hybrid),
    "ministral3": ("mistral3", paired, write_mistral3),
    "lfm2_moe": ("lfm2moe", convolved, write_lfm2_moe),
}
