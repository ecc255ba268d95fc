"""What further architectures of GGUF say in their metadata, as in `families`."""

from export.checkpoint.gguf.families import scaled
from export.checkpoint.gguf.metadata import (
    SIGMOID,
    Described,
    Values,
    decoder,
    experts,
    key_heads,
    norm,
    num_key_heads,
    partly_rotated,
    rope_scaling,
    routed,
    shortest,
    sizes,
    window,
    windows_by_turns,
)
from export.errors import CheckpointError


def gemma(file: Described) -> Values:
    return {"model_type": "gemma", **decoder(file), "hidden_act": "gelu_pytorch_tanh"}


def gemma4(file: Described) -> Values:
    """Read Gemma 4, whose heads that see all are others; how much is rotated a tensor says."""
    config = file.config
    windows = windows_by_turns(file, default_period=6)
    is_full = [kind == "full_attention" for kind in windows["layer_types"]]
    heads = key_heads(file)
    # Keys are values in layers that have no values of their own.
    are_values = f"blk.{is_full.index(True)}.attn_v.weight" not in file.tensors
    global_size, size = (config.integer(f"attention.key_length{kind}") for kind in ("", "_swa"))
    for key, wanted in (("", global_size), ("_swa", size)):
        config.require(f"attention.value_length{key}", wanted)
        config.require(f"rope.dimension_count{key}", wanted)
    found: Values = {
        "model_type": "gemma4_text",
        **sizes(file),
        **norm(file),
        **windows,
        "attention_k_eq_v": are_values,
        "enable_moe_block": bool(file.num_experts),
        "global_head_dim": global_size,
        "head_dim": size,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size_per_layer_input": config.integer(
            "embedding_length_per_layer_input", default=0, minimum=0
        ),
        "num_global_key_value_heads": heads[is_full.index(True)],
        "num_key_value_heads": heads[is_full.index(False)],
        "num_kv_shared_layers": config.integer("attention.shared_kv_layers", default=0, minimum=0),
        "use_bidirectional_attention": "vision",
    }
    del found["hidden_act"]
    if file.num_experts:
        mixture = experts(file, are_weights_normed=True)
        mixture["top_k_experts"] = mixture.pop("num_experts_per_tok")
        found |= mixture
        found["moe_intermediate_size"] = config.integer("expert_feed_forward_length")
    if config.has("final_logit_softcapping"):
        found["final_logit_softcapping"] = shortest(config.number("final_logit_softcapping"))
    local = shortest(config.number("rope.freq_base_swa", default=10_000.0))
    found["rope_parameters"] = {
        "full_attention": {"rope_type": "proportional", "rope_theta": found.pop("rope_theta")},
        "sliding_attention": {"rope_type": "default", "rope_theta": local},
    }
    return found


def olmo2(file: Described) -> Values:
    """Read OLMo 2, and OLMo 3, which is the one with windows."""
    windows = windows_by_turns(file, default_period=4)
    found = {**decoder(file), "attention_bias": file.has_biases}
    if "sliding_window" not in windows:
        return {"model_type": "olmo2", **found}
    return {"model_type": "olmo3", **found, **windows}


def smollm3(file: Described) -> Values:
    return {
        "model_type": "smollm3",
        **decoder(file),
        "attention_bias": file.has_biases,
        "no_rope_layer_interval": 4,
    }


def stablelm(file: Described) -> Values:
    config = file.config
    num_heads = config.integer("attention.head_count")
    head_dim = config.integer("embedding_length") // num_heads
    # What is written is a default where a config said nothing; the tensors say what it is.
    config.boolean("use_parallel_residual", default=False)
    return {
        "model_type": "stablelm",
        **sizes(file),
        **rope_scaling(file),
        "layer_norm_eps": shortest(config.number("attention.layer_norm_epsilon")),
        "num_key_value_heads": config.integer("attention.head_count_kv", default=num_heads),
        "partial_rotary_factor": config.integer("rope.dimension_count") / head_dim,
        "qk_layernorm": "blk.0.attn_q_norm.weight" in file.tensors,
        "use_parallel_residual": "blk.0.ffn_norm.weight" not in file.tensors,
        "use_qkv_bias": file.has_biases,
    }


def phi3(file: Described) -> Values:
    # Said of all files, and of use where factors are given for it.
    file.config.integer("rope.scaling.original_context_length", default=1)
    return {"model_type": "phi3", **partly_rotated(file), **window(file)}


def internlm2(file: Described) -> Values:
    return {"model_type": "internlm2", **decoder(file), "bias": file.has_biases}


def minicpm3(file: Described) -> Values:
    """Read MiniCPM3, whose scales no file says and llama.cpp knows."""
    config = file.config
    num_heads = config.integer("attention.head_count")
    rotated = config.integer("rope.dimension_count")
    return {
        "model_type": "minicpm3",
        **sizes(file),
        **norm(file),
        **rope_scaling(file),
        "dim_model_base": 256,
        "kv_lora_rank": config.integer("attention.kv_lora_rank"),
        "num_key_value_heads": num_key_heads(file),
        "q_lora_rank": config.integer("attention.q_lora_rank"),
        "qk_nope_head_dim": config.integer("attention.key_length") - rotated,
        "qk_rope_head_dim": rotated,
        "scale_depth": 1.4,
        "scale_emb": 12,
        "v_head_dim": config.integer("embedding_length") // num_heads,
    }


def starcoder(file: Described) -> Values:
    config = file.config
    config.require("attention.head_count_kv", 1)
    return {
        "model_type": "gpt_bigcode",
        "layer_norm_epsilon": shortest(config.number("attention.layer_norm_epsilon")),
        "n_embd": config.integer("embedding_length"),
        "n_head": config.integer("attention.head_count"),
        "n_inner": config.integer("feed_forward_length"),
        "n_layer": config.integer("block_count"),
        "n_positions": config.integer("context_length"),
    }


def hunyuan_dense(file: Described) -> Values:
    return {"model_type": "hunyuan_v1_dense", **_hunyuan(file)}


def hunyuan_moe(file: Described) -> Values:
    config = file.config
    # How large they are together, which their tensors say too.
    config.integer("expert_shared_feed_forward_length", default=0, minimum=0)
    return {
        "model_type": "hunyuan_v1_moe",
        **_hunyuan(file),
        **experts(file, are_weights_normed=True),
        "moe_intermediate_size": config.integer("expert_feed_forward_length"),
        "num_shared_expert": config.integer("expert_shared_count", default=1),
    }


def _hunyuan(file: Described) -> Values:
    # The base that is written is the stretched one, and the length is one of several that are said.
    file.config.integer("rope.scaling.original_context_length", default=1)
    return {**decoder(file), "attention_bias": file.has_biases}


def bailingmoe(file: Described) -> Values:
    """Read Ling. The columns of its head had been brought to one length before it was written."""
    config = file.config
    is_normed = config.boolean("expert_weights_norm", default=False)
    return {
        "model_type": "bailing_moe",
        "architectures": ["BailingMoeForCausalLM"],
        **decoder(file),
        **experts(file, are_weights_normed=is_normed),
        "first_k_dense_replace": config.integer("leading_dense_block_count", default=0, minimum=0),
        "moe_intermediate_size": config.integer("expert_feed_forward_length"),
        "norm_topk_prob": is_normed,
        "num_shared_experts": config.integer("expert_shared_count"),
        "use_qkv_bias": file.has_biases,
    }


def bailingmoe2(file: Described) -> Values:
    config = file.config
    config.require("expert_gating_func", SIGMOID)
    # How large they are together, which their tensors say too.
    config.integer("expert_shared_feed_forward_length", default=0, minimum=0)
    found = routed(file)
    found["num_experts"] = found.pop("n_routed_experts")
    found["num_shared_experts"] = found.pop("n_shared_experts")
    return {
        "model_type": "bailing_moe",
        "architectures": ["BailingMoeV2ForCausalLM"],
        **partly_rotated(file),
        **found,
        "use_qkv_bias": "blk.0.attn_qkv.bias" in file.tensors,
    }


def minimax_m2(file: Described) -> Values:
    config = file.config
    config.require("expert_gating_func", SIGMOID)
    found = partly_rotated(file)
    del found["partial_rotary_factor"]
    return {
        "model_type": "minimax_m2",
        **found,
        "intermediate_size": config.integer("expert_feed_forward_length"),
        "num_experts_per_tok": config.integer("expert_used_count"),
        "num_local_experts": config.integer("expert_count"),
        "rotary_dim": config.integer("rope.dimension_count"),
        "scoring_func": "sigmoid",
    }


def lfm2(file: Described) -> Values:
    return {"model_type": "lfm2", **_lfm2(file), "block_auto_adjust_ff_dim": False}


def lfm2moe(file: Described) -> Values:
    config = file.config
    config.require("expert_gating_func", SIGMOID)
    return {
        "model_type": "lfm2_moe",
        **_lfm2(file),
        "moe_intermediate_size": config.integer("expert_feed_forward_length"),
        "num_dense_layers": config.integer("leading_dense_block_count", default=0, minimum=0),
        "num_experts": config.integer("expert_count"),
        "num_experts_per_tok": config.integer("expert_used_count"),
    }


def _lfm2(file: Described) -> Values:
    """Read layers, of which those without keys are convolutions."""
    found = decoder(file)
    epsilon = found.pop("rms_norm_eps")
    return {
        **found,
        "conv_L_cache": file.config.integer("shortconv.l_cache"),
        "layer_types": ["full_attention" if num else "conv" for num in key_heads(file)],
        "norm_eps": epsilon,
    }


def mistral3(file: Described) -> Values:
    """Read Ministral 3 and its kin, whose queries grow where a scale of their temperature says."""
    config = file.config
    found = decoder(file)
    rotation: Values = {
        "rope_type": "default",
        **found.pop("rope_scaling", {}),
        "rope_theta": found.pop("rope_theta"),
    }
    if rotation["rope_type"] == "yarn":
        share = shortest(config.number("rope.scaling.yarn_log_multiplier", default=1.0))
        rotation |= {"mscale": 1.0, "mscale_all_dim": share}
    if config.has("attention.temperature_scale"):
        beta = shortest(config.number("attention.temperature_scale"))
        rotation["llama_4_scaling_beta"] = beta
    return {"model_type": "ministral3", **found, "rope_parameters": rotation}


def granitehybrid(file: Described) -> Values:
    """Read Granite 4, whose layers without keys keep a state by Mamba 2's rule."""
    config = file.config
    num_heads = config.integer("ssm.time_step_rank")
    found = {**scaled(file), "num_local_experts": 0}
    if file.num_experts:
        found |= experts(file, are_weights_normed=True, count_key="num_local_experts")
    config.require("ssm.inner_size", 2 * found["hidden_size"])
    is_rotated = config.boolean("rope.scaling.finetuned", default=False)
    return {
        "model_type": "granitemoehybrid",
        **found,
        "layer_types": ["attention" if num else "mamba" for num in key_heads(file)],
        "mamba_conv_bias": any(name.endswith("ssm_conv1d.bias") for name in file.tensors),
        "mamba_d_conv": config.integer("ssm.conv_kernel"),
        "mamba_d_head": 2 * found["hidden_size"] // num_heads,
        "mamba_d_state": config.integer("ssm.state_size"),
        "mamba_expand": 2,
        "mamba_n_groups": config.integer("ssm.group_count"),
        "mamba_n_heads": num_heads,
        "position_embedding_type": "rope" if is_rotated else "nope",
        "shared_intermediate_size": config.integer(
            "expert_shared_feed_forward_length", default=found["intermediate_size"]
        ),
    }


def nemotron_h_moe(file: Described) -> Values:
    """Read Nemotron 3, whose blocks are told by what they have: keys, experts or neither."""
    config = file.config
    config.require("attention.causal", True)
    config.require("expert_gating_func", 0, SIGMOID)
    heads, sizes_of_parts = key_heads(file), config.integers("feed_forward_length")
    if len(sizes_of_parts) != len(heads):
        raise CheckpointError(
            f"the metadata say feed_forward_length of {len(sizes_of_parts)} for {len(heads)} blocks"
        )
    # Nothing is rotated, whatever is said of it.
    config.integer("rope.dimension_count", default=1, minimum=0)
    config.number("rope.freq_base", default=1.0)
    config.boolean("rope.scaling.finetuned", default=False)
    config.number("attention.layer_norm_epsilon", default=1.0)  # norms are of the other kind
    size = config.integer("attention.key_length")
    config.require("attention.value_length", size)
    num_heads = config.integer("ssm.time_step_rank")
    found: Values = {
        "model_type": "nemotron_h",
        "head_dim": size,
        "hidden_size": config.integer("embedding_length"),
        "layer_norm_epsilon": norm(file)["rms_norm_eps"],
        "layers_block_type": [
            "attention" if keys else "moe" if part else "mamba"
            for keys, part in zip(heads, sizes_of_parts, strict=True)
        ],
        "mamba_head_dim": config.integer("ssm.inner_size") // num_heads,
        "mamba_num_heads": num_heads,
        "max_position_embeddings": config.integer("context_length"),
        "mlp_hidden_act": "relu2",
        "moe_shared_expert_intermediate_size": config.integer("expert_shared_feed_forward_length"),
        "n_groups": config.integer("ssm.group_count"),
        "num_attention_heads": config.integer("attention.head_count"),
        "num_hidden_layers": config.integer("block_count"),
        "num_key_value_heads": num_key_heads(file),
        "ssm_state_size": config.integer("ssm.state_size"),
        "conv_kernel": config.integer("ssm.conv_kernel"),
        "use_conv_bias": any(name.endswith("ssm_conv1d.bias") for name in file.tensors),
        **routed(file),
    }
    if config.has("moe_latent_size"):
        found["moe_latent_size"] = config.integer("moe_latent_size")
    del found["first_k_dense_replace"]
    return found
