"""Tiny models of the families that came out in 2026."""

from collections.abc import Mapping
from typing import Any

from tests.support.tiny_checkpoints import tiny

QWEN3_5: Mapping[str, Any] = {
    "num_hidden_layers": 4,
    "head_dim": 64,
    "rope_theta": None,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.25,
        "mrope_interleaved": True,
        "mrope_section": [3, 3, 2],
    },
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
}

LAGUNA: Mapping[str, Any] = {
    "num_hidden_layers": 3,
    "head_dim": 32,
    "num_attention_heads_per_layer": [4, 6, 2],
    "sliding_window": 5,
    "layer_types": ["full_attention", "sliding_attention", "full_attention"],
    "mlp_layer_types": ["dense", "sparse", "sparse"],
    "rope_theta": None,
    "rope_parameters": {
        "full_attention": {
            "rope_type": "yarn",
            "rope_theta": 500.0,
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "beta_slow": 1.0,
            "beta_fast": 32.0,
            "attention_factor": 1.2,
            "partial_rotary_factor": 0.5,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    },
    "num_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 64,
    "moe_routed_scaling_factor": 2.5,
}

GEMMA4: Mapping[str, Any] = {
    "hidden_act": None,
    "hidden_activation": "gelu_pytorch_tanh",
    "num_hidden_layers": 3,
    "head_dim": 32,
    "global_head_dim": 64,
    "hidden_size_per_layer_input": 0,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "sliding_window": 5,
    "rope_theta": None,
    "rope_parameters": {
        "full_attention": {
            "rope_type": "proportional",
            "rope_theta": 1000.0,
            "partial_rotary_factor": 0.25,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    },
    "final_logit_softcapping": 4.0,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
}

GRANITE4: Mapping[str, Any] = {
    "num_hidden_layers": 4,
    "attention_multiplier": 0.125,
    "embedding_multiplier": 6.0,
    "residual_multiplier": 0.5,
    "logits_scaling": 0.5,
    "tie_word_embeddings": True,
    "shared_intermediate_size": 64,
    "mamba_n_heads": 4,
    "mamba_n_groups": 2,
    "mamba_d_state": 16,
    "mamba_d_head": 32,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}

RECENT_MODELS = (
    tiny("qwen3_5_text", "Qwen3_5ForCausalLM", **QWEN3_5, tie_word_embeddings=True),
    tiny(
        "qwen3_5_moe_text",
        "Qwen3_5MoeForCausalLM",
        **{**QWEN3_5, "linear_num_value_heads": 4, "linear_value_head_dim": 16},
        intermediate_size=None,
        num_experts=8,
        num_experts_per_tok=3,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=64,
        full_attention_interval=2,
    ),
    tiny(
        "glm4_moe_lite",
        "Glm4MoeLiteForCausalLM",
        num_key_value_heads=4,
        num_hidden_layers=3,
        q_lora_rank=32,
        kv_lora_rank=32,
        qk_nope_head_dim=48,
        qk_rope_head_dim=16,
        v_head_dim=64,
        n_routed_experts=8,
        n_shared_experts=1,
        num_experts_per_tok=3,
        moe_intermediate_size=32,
        routed_scaling_factor=1.8,
        mlp_layer_types=["sparse", "dense", "sparse"],
    ),
    tiny("laguna", "LagunaForCausalLM", **LAGUNA, gating=True),
    tiny("laguna/per-element", "LagunaForCausalLM", **LAGUNA, gating="per-element"),
    tiny(
        "gemma4_text",
        "Gemma4ForCausalLM",
        **{**GEMMA4, "num_hidden_layers": 2, "layer_types": GEMMA4["layer_types"][1:]},
        attention_k_eq_v=True,
        num_global_key_value_heads=1,
        use_bidirectional_attention="vision",
        enable_moe_block=True,
        num_experts=4,
        top_k_experts=2,
        moe_intermediate_size=32,
    ),
    tiny("gemma4_text/dense", "Gemma4ForCausalLM", **GEMMA4),
    tiny(
        "granitemoehybrid",
        "GraniteMoeHybridForCausalLM",
        **GRANITE4,
        layer_types=["mamba", "attention", "mamba", "mamba"],
        position_embedding_type="nope",
        num_local_experts=4,
        num_experts_per_tok=2,
    ),
    tiny(
        "granitemoehybrid/dense",
        "GraniteMoeHybridForCausalLM",
        **GRANITE4,
        layer_types=["attention"] * 4,
        position_embedding_type="rope",
        num_local_experts=0,
    ),
)
