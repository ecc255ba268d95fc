"""What each architecture of GGUF says in its metadata, as the config.json of a family says it.

One function each. What llama.cpp has in its code for an architecture is said here.
"""

from export.checkpoint.gguf.metadata import (
    SIGMOID,
    SOFTMAX,
    Described,
    Values,
    decoder,
    expert_size,
    experts,
    norm,
    partly_rotated,
    recurrent_by_turns,
    rope_scaling,
    routed,
    shortest,
    sizes,
    window,
    windows_by_turns,
)
from export.errors import CheckpointError

GEMMA_2_27B, GEMMA_3_27B = 46, 62
"""Layers of the two whose scores are not divided by the root of a head's size."""


def llama(file: Described) -> Values:
    if file.num_experts:
        mixture = experts(file, are_weights_normed=True, count_key="num_local_experts")
        return {"model_type": "mixtral", **decoder(file), **mixture}
    return {"model_type": "llama", **decoder(file), "attention_bias": file.has_biases}


def qwen2(file: Described) -> Values:
    return {"model_type": "qwen2", **decoder(file)}


def qwen3(file: Described) -> Values:
    return {"model_type": "qwen3", **decoder(file)}


def qwen2moe(file: Described) -> Values:
    size = file.config.integer("feed_forward_length")
    num_chosen = file.config.integer("expert_used_count")
    return {
        "model_type": "qwen2_moe",
        **decoder(file),
        **experts(file, are_weights_normed=False),
        "moe_intermediate_size": file.config.integer(
            "expert_feed_forward_length", default=max(1, size // num_chosen)
        ),
        "norm_topk_prob": False,
        "qkv_bias": file.has_biases,
        "shared_expert_intermediate_size": file.config.integer(
            "expert_shared_feed_forward_length", default=size
        ),
    }


def qwen3moe(file: Described) -> Values:
    return {
        "model_type": "qwen3_moe",
        **decoder(file),
        **experts(file, are_weights_normed=True),
        "moe_intermediate_size": file.config.integer("expert_feed_forward_length"),
        "norm_topk_prob": True,
    }


def qwen3next(file: Described) -> Values:
    config = file.config
    return {
        "model_type": "qwen3_next",
        **partly_rotated(file),
        **experts(file, are_weights_normed=True),
        **_gated_delta(file),
        "moe_intermediate_size": expert_size(file),
        "norm_topk_prob": True,
        "shared_expert_intermediate_size": config.integer(
            "expert_shared_feed_forward_length",
            default=config.integer("feed_forward_length"),
        ),
    }


def qwen35(file: Described) -> Values:
    return {"model_type": "qwen3_5_text", **_seeing(file), **_gated_delta(file)}


def qwen35moe(file: Described) -> Values:
    config = file.config
    return {
        "model_type": "qwen3_5_moe_text",
        **_seeing(file),
        **_gated_delta(file),
        **experts(file, are_weights_normed=True),
        "moe_intermediate_size": config.integer("expert_feed_forward_length"),
        "shared_expert_intermediate_size": config.integer("expert_shared_feed_forward_length"),
    }


def _seeing(file: Described) -> Values:
    """Read a decoder whose pairs are shared out to time, height and width, one place in a text."""
    file.config.integers("rope.dimension_sections")
    return partly_rotated(file)


def _gated_delta(file: Described) -> Values:
    config = file.config
    num_value_heads = config.integer("ssm.time_step_rank")
    value_size = config.integer("ssm.inner_size")
    if value_size % num_value_heads:
        raise CheckpointError(
            f"the metadata say ssm.inner_size = {value_size} of {num_value_heads} heads"
        )
    return {
        **recurrent_by_turns(file),
        "linear_conv_kernel_dim": config.integer("ssm.conv_kernel"),
        "linear_key_head_dim": config.integer("ssm.state_size"),
        "linear_num_key_heads": config.integer("ssm.group_count"),
        "linear_num_value_heads": num_value_heads,
        "linear_value_head_dim": value_size // num_value_heads,
    }


def deepseek2(file: Described) -> Values:
    """Read DeepSeek-V2 and what followed it, which are told apart by how experts are scored."""
    config = file.config
    rotated = config.integer("rope.dimension_count")
    key = config.spelling("attention.key_length_mla", "attention.key_length")
    value = config.spelling("attention.value_length_mla", "attention.value_length")
    num_heads = config.integer("attention.head_count")
    if key.endswith("_mla"):  # what the latents are, seen as heads
        rank = config.integer("attention.kv_lora_rank")
        config.require("attention.key_length", rank + rotated)
        config.require("attention.value_length", rank)
    config.require("attention.head_count_kv", num_heads, 1)
    if config.integer(key) <= rotated:
        raise CheckpointError(
            f"the metadata say {key} = {config.integer(key)}, of which {rotated} are rotated"
        )
    found: Values = {
        **sizes(file),
        **norm(file),
        **routed(file),
        "kv_lora_rank": config.integer("attention.kv_lora_rank"),
        "num_key_value_heads": num_heads,
        "q_lora_rank": config.integer("attention.q_lora_rank", default=0, minimum=0) or None,
        "qk_nope_head_dim": config.integer(key) - rotated,
        "qk_rope_head_dim": rotated,
        "v_head_dim": config.integer(value),
        **_latent_scaling(file),
    }
    config.require("expert_gating_func", SOFTMAX, 0, SIGMOID)
    if config.integer("expert_gating_func", default=0, minimum=0) == SIGMOID:
        return {"model_type": "deepseek_v3", **found, "scoring_func": "sigmoid"}
    return {
        "model_type": "deepseek_v2",
        **found,
        "topk_method": "group_limited_greedy" if found["n_group"] > 1 else "greedy",
    }


def _latent_scaling(file: Described) -> Values:
    """Read YaRN as DeepSeek has it: cosines keep their size, scores are multiplied instead."""
    found = rope_scaling(file)
    if found.get("rope_scaling", {}).get("rope_type") == "yarn":
        # The converters write a tenth of it.
        share = shortest(10 * file.config.number("rope.scaling.yarn_log_multiplier"))
        found["rope_scaling"] |= {"mscale": share, "mscale_all_dim": share}
    return found


def granite(file: Described) -> Values:
    return {"model_type": "granite", **_granite(file)}


def granitemoe(file: Described) -> Values:
    shared = file.config.integer("expert_shared_feed_forward_length", default=0, minimum=0)
    found = {
        **_granite(file),
        **experts(file, are_weights_normed=True, count_key="num_local_experts"),
    }
    if not shared:
        return {"model_type": "granitemoe", **found}
    return {"model_type": "granitemoeshared", **found, "shared_intermediate_size": shared}


def _granite(file: Described) -> Values:
    file.config.require("rope.scaling.finetuned", True)  # where it is false, nothing is rotated
    return scaled(file)


def scaled(file: Described) -> Values:
    """Read what Granite's decoders have in common."""
    config = file.config
    found: Values = {
        **decoder(file),
        "attention_bias": file.has_biases,
        "logits_scaling": shortest(config.number("logit_scale")),
    }
    for key, name in (
        ("attention_multiplier", "attention.scale"),
        ("embedding_multiplier", "embedding_scale"),
        ("residual_multiplier", "residual_scale"),
    ):
        if config.has(name):
            found[key] = shortest(config.number(name))
    # Where nothing is said, llama.cpp divides by the root of a head's size.
    found.setdefault("attention_multiplier", found["head_dim"] ** -0.5)
    return found


def olmoe(file: Described) -> Values:
    return {
        "model_type": "olmoe",
        **decoder(file),
        **experts(file, are_weights_normed=False),
        "intermediate_size": expert_size(file),
        "norm_topk_prob": False,
    }


def phimoe(file: Described) -> Values:
    # Said of all files, and of use where factors are given for it.
    file.config.integer("rope.scaling.original_context_length", default=1)
    return {
        "model_type": "phimoe",
        **decoder(file),
        **window(file),
        **experts(file, are_weights_normed=True, count_key="num_local_experts"),
        "attention_bias": file.has_biases,
        "lm_head_bias": "output.bias" in file.tensors,
    }


def gpt_oss(file: Described) -> Values:
    found: Values = {
        "model_type": "gpt_oss",
        **decoder(file),
        **windows_by_turns(file, default_period=2),
        "attention_bias": True,
        "intermediate_size": file.config.integer("expert_feed_forward_length"),
        "num_experts_per_tok": file.config.integer("expert_used_count"),
        "num_local_experts": file.config.integer("expert_count"),
    }
    if "rope_scaling" in found:
        found["rope_scaling"]["truncate"] = False
    return found


def glm4moe(file: Described) -> Values:
    config = file.config
    config.require("expert_gating_func", SIGMOID, 0)
    return {
        "model_type": "glm4_moe",
        **partly_rotated(file),
        **routed(file),
        "attention_bias": file.has_biases,
        "use_qk_norm": "blk.0.attn_q_norm.weight" in file.tensors,
    }


def ernie4_5_moe(file: Described) -> Values:
    config = file.config
    size = config.integer("expert_feed_forward_length")
    num_shared = config.integer("expert_shared_count", default=0, minimum=0)
    # How large they are together, which their tensors say too.
    config.integer("expert_shared_feed_forward_length", default=0, minimum=0)
    config.require("expert_gating_func", SOFTMAX, 0)
    return {
        "model_type": "ernie4_5_moe",
        **decoder(file),
        "moe_intermediate_size": size,
        "moe_k": config.integer("expert_used_count"),
        "moe_layer_interval": config.integer("interleave_moe_layer_step"),
        "moe_layer_start_index": config.integer("leading_dense_block_count", default=0, minimum=0),
        "moe_num_experts": config.integer("expert_count"),
        "moe_num_shared_experts": num_shared,
    }


def gemma2(file: Described) -> Values:
    config = file.config
    return {
        "model_type": "gemma2",
        **_gemma(file, GEMMA_2_27B),
        **windows_by_turns(file, default_period=2),
        "attn_logit_softcapping": shortest(config.number("attn_logit_softcapping", default=50.0)),
        "final_logit_softcapping": shortest(config.number("final_logit_softcapping", default=30.0)),
    }


def gemma3(file: Described) -> Values:
    config = file.config
    found: Values = {
        "model_type": "gemma3_text",
        **_gemma(file, GEMMA_3_27B),
        **windows_by_turns(file, default_period=6),
        "rope_local_base_freq": shortest(config.number("rope.freq_base_swa", default=10_000.0)),
    }
    if config.has("final_logit_softcapping"):
        found["final_logit_softcapping"] = shortest(config.number("final_logit_softcapping"))
    return found


def _gemma(file: Described, layers_of_27b: int) -> Values:
    found = decoder(file)
    heads, hidden = found["num_attention_heads"], found["hidden_size"]
    is_27b = found["num_hidden_layers"] == layers_of_27b
    found["query_pre_attn_scalar"] = hidden // heads if is_27b else found["head_dim"]
    del found["hidden_act"]
    return {**found, "hidden_activation": "gelu_pytorch_tanh"}


def starcoder2(file: Described) -> Values:
    config = file.config
    num_heads = config.integer("attention.head_count")
    config.require("rope.dimension_count", config.integer("embedding_length") // num_heads)
    return {
        "model_type": "starcoder2",
        **sizes(file),
        **window(file),
        **rope_scaling(file),
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": shortest(config.number("attention.layer_norm_epsilon")),
        "num_key_value_heads": config.integer("attention.head_count_kv", default=num_heads),
        "use_bias": file.has_biases,
    }


def grok(file: Described) -> Values:
    """Read Grok-1. Older files leave out what it multiplies by; llama.cpp knows these numbers."""
    config = file.config
    found: Values = {
        "model_type": "grok-1",
        **decoder(file),
        **experts(file, are_weights_normed=False),
        "attn_output_multiplier": shortest(
            config.number("attention.output_scale", default=0.08838834764831845)
        ),
        "embedding_multiplier_scale": shortest(
            config.number("embedding_scale", default=78.38367176906169)
        ),
        "intermediate_size": expert_size(file),
        "max_attn_value": shortest(config.number("attn_logit_softcapping", default=30.0)),
        "output_multiplier_scale": shortest(
            config.number("logit_scale", default=0.5773502691896257)
        ),
    }
    # Written for Grok-2's sake and not applied by llama.cpp either.
    config.number("router_logit_softcapping", default=30.0)
    del found["hidden_act"]
    return found


def mellum(file: Described) -> Values:
    found = decoder(file)
    theta = found.pop("rope_theta")
    scaling = found.pop("rope_scaling", {"rope_type": "default"})
    # Where a window is, nothing is stretched.
    local = shortest(file.config.number("rope.freq_base_swa", default=theta))
    return {
        "model_type": "mellum",
        **found,
        **windows_by_turns(file, default_period=4),
        **experts(file, are_weights_normed=True),
        "moe_intermediate_size": file.config.integer("expert_feed_forward_length"),
        "norm_topk_prob": True,
        "rope_parameters": {
            "full_attention": {**scaling, "rope_theta": theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        },
    }
