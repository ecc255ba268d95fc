"""Tiny models of further families that are written as GGUF."""

from typing import Final

from tests.support.tiny_checkpoints import TinyModel, tiny
from tests.support.tiny_families import LATENT, model_named
from tests.support.tiny_further_families import BIG_CODE
from tests.support.tiny_recent_families import GEMMA4

_YARN: Final = {
    "rope_type": "yarn",
    "factor": 8.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 16,
}
_LONG: Final = {
    "type": "longrope",
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5],
    "long_factor": [float(factor) for factor in range(1, 13)],
}

FURTHER_GGUF_MODELS: Final = (
    model_named("gemma"),
    model_named("gemma4_text-dense"),
    # llama.cpp looks gelu up among halves, so of two tokens that are as likely it may take either:
    # with these weights there are none.
    tiny(
        "gemma4_text/mixture",
        "Gemma4ForCausalLM",
        **GEMMA4,
        attention_k_eq_v=True,
        num_global_key_value_heads=1,
        use_bidirectional_attention="vision",
        enable_moe_block=True,
        num_experts=8,
        top_k_experts=3,
        moe_intermediate_size=32,
    ),
    # Every fourth layer does not rotate, and nothing in a file says otherwise.
    tiny("smollm3", "SmolLM3ForCausalLM", num_hidden_layers=5, tie_word_embeddings=True),
    tiny("olmo2", "Olmo2ForCausalLM", num_key_value_heads=4),
    tiny(
        "olmo3",
        "Olmo3ForCausalLM",
        num_hidden_layers=4,
        num_key_value_heads=4,
        sliding_window=5,
        rope_theta=500000.0,
        rope_scaling=_YARN,
    ),
    model_named("stablelm"),
    tiny("phi3", "Phi3ForCausalLM", sliding_window=128, original_max_position_embeddings=128),
    tiny(
        "phi3/long",
        "Phi3ForCausalLM",
        hidden_size=128,
        num_key_value_heads=4,
        partial_rotary_factor=0.75,
        max_position_embeddings=512,
        original_max_position_embeddings=256,
        rope_scaling=_LONG,
        tie_word_embeddings=True,
    ),
    model_named("internlm2"),
    tiny(
        "minicpm3",
        "MiniCPM3ForCausalLM",
        num_key_value_heads=4,
        q_lora_rank=32,
        kv_lora_rank=32,
        qk_nope_head_dim=32,
        qk_rope_head_dim=16,
        scale_emb=12,  # these three are llama.cpp's own
        scale_depth=1.4,
        dim_model_base=256,
        rope_scaling={
            "type": "longrope",
            "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0],
            "long_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.0, 5.0],
            "original_max_position_embeddings": 128,
        },
        tie_word_embeddings=True,
    ),
    TinyModel("gpt_bigcode", 1101, base=BIG_CODE),
    tiny(
        "hunyuan_v1_dense",
        "HunYuanDenseV1ForCausalLM",
        head_dim=32,
        rope_scaling={"type": "dynamic", "alpha": 50.0, "factor": 1.0},
    ),
    tiny(
        "hunyuan_v1_moe",
        "HunYuanMoEV1ForCausalLM",
        head_dim=16,
        num_experts=4,
        moe_topk=[2, 2],
        rope_scaling={"type": "dynamic", "alpha": 50.0, "factor": 1.0},
    ),
    tiny(
        "bailing_moe",
        "BailingMoeForCausalLM",
        num_experts=8,
        num_experts_per_tok=3,
        num_shared_experts=2,
        moe_intermediate_size=32,
        norm_topk_prob=True,
        norm_head=True,
    ),
    tiny(
        "bailing_moe_v2",
        "BailingMoeV2ForCausalLM",
        head_dim=16,
        partial_rotary_factor=0.5,
        num_experts=8,
        num_experts_per_tok=3,
        num_shared_experts=1,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
        n_group=4,
        topk_group=2,
        norm_topk_prob=True,
        routed_scaling_factor=2.5,
        score_function="sigmoid",
        use_qk_norm=True,
    ),
    model_named("minimax_m2"),
    model_named("granitemoehybrid"),
    model_named("ministral3"),
    model_named("lfm2"),
    model_named("lfm2_moe"),
    tiny(
        "glm4_moe_lite",
        "Glm4MoeLiteForCausalLM",
        **{**LATENT, "q_lora_rank": 32},
        n_group=1,
        topk_group=1,
        norm_topk_prob=True,
        routed_scaling_factor=1.8,
    ),
)
