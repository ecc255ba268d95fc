"""Tiny models of the other families: what the config of a real one says, made small."""

from collections.abc import Mapping
from typing import Any

from tests.support.tiny_checkpoints import VOCAB_SIZE, TinyModel

# What the configs of nearly all families say.
COMMON: Mapping[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "eos_token_id": 0,
}


def tiny(name: str, class_name: str, **config: Any) -> TinyModel:
    """Describe a model named by its model_type, and a word after a slash."""
    kind = {"architectures": [class_name], "model_type": name.partition("/")[0]}
    seed = sum(name.encode())
    return TinyModel(name.replace("/", "-"), seed, config, base={**COMMON, **kind})


GEMMA: Mapping[str, Any] = {
    "head_dim": 32,
    "hidden_act": None,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 16,
    "sliding_window": 5,
    "tie_word_embeddings": True,
}

GRANITE: Mapping[str, Any] = {
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "attention_multiplier": 0.125,
    "embedding_multiplier": 6.0,
    "residual_multiplier": 0.5,
    "logits_scaling": 0.5,
    "tie_word_embeddings": True,
}

LATENT: Mapping[str, Any] = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}

FAMILY_MODELS = (
    tiny(
        "mixtral",
        "MixtralForCausalLM",
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=9,
    ),
    tiny("olmoe", "OlmoeForCausalLM", num_experts=8, num_experts_per_tok=3, norm_topk_prob=False),
    tiny(
        "qwen2_moe",
        "Qwen2MoeForCausalLM",
        num_experts=4,
        num_experts_per_tok=2,
        norm_topk_prob=False,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=64,
        num_hidden_layers=3,
        mlp_only_layers=[0],
        qkv_bias=True,
    ),
    tiny("qwen3", "Qwen3ForCausalLM", head_dim=32, tie_word_embeddings=True),
    tiny("qwen3/biased", "Qwen3ForCausalLM", head_dim=16, attention_bias=True),
    tiny("qwen2", "Qwen2ForCausalLM", rope_theta=1e6, tie_word_embeddings=True),
    tiny(
        "llama",
        "LlamaForCausalLM",
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    tiny("llama/biased", "LlamaForCausalLM", attention_bias=True, num_key_value_heads=4),
    tiny("llama/stretched", "LlamaForCausalLM", rope_scaling={"type": "linear", "factor": 4.0}),
    tiny("mistral", "MistralForCausalLM", head_dim=32, sliding_window=None),
    tiny("mistral/windowed", "MistralForCausalLM", sliding_window=5),
    tiny(
        "gemma2",
        "Gemma2ForCausalLM",
        **GEMMA,
        num_hidden_layers=3,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=4.0,
    ),
    tiny(
        "gemma3_text",
        "Gemma3ForCausalLM",
        **GEMMA,
        num_hidden_layers=4,
        sliding_window_pattern=3,
        rope_local_base_freq=100.0,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    ),
    tiny("granitemoe", "GraniteMoeForCausalLM", **GRANITE),
    tiny(
        "granitemoeshared",
        "GraniteMoeSharedForCausalLM",
        **GRANITE,
        shared_intermediate_size=64,
        attention_bias=True,
    ),
    tiny(
        "phimoe",
        "PhimoeForCausalLM",
        num_local_experts=4,
        num_experts_per_tok=2,
        router_jitter_noise=0.25,
        sliding_window=128,
        attention_bias=True,
        lm_head_bias=True,
    ),
    tiny(
        "grok-1",
        "Grok1ModelForCausalLM",
        hidden_act=None,
        rope_theta=None,
        num_experts=8,
        num_experts_per_tok=2,
        attn_output_multiplier=1.0,
        max_attn_value=30.0,
        embedding_multiplier_scale=4.0,
        output_multiplier_scale=0.5,
        tie_word_embeddings=True,
    ),
    tiny(
        "starcoder2",
        "Starcoder2ForCausalLM",
        sliding_window=7,
        hidden_act="gelu_pytorch_tanh",
        norm_epsilon=1e-5,
        rms_norm_eps=None,
        use_bias=True,
        tie_word_embeddings=True,
    ),
    tiny(
        "mellum",
        "MellumForCausalLM",
        moe_intermediate_size=32,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
        num_hidden_layers=3,
        sliding_window=5,
        rope_theta=None,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        mlp_layer_types=["sparse", "sparse", "dense"],
        rope_parameters={
            "full_attention": {
                "rope_type": "yarn",
                "rope_theta": 500.0,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    ),
    tiny(
        "gpt_oss",
        "GptOssForCausalLM",
        head_dim=16,
        num_local_experts=4,
        num_experts_per_tok=2,
        intermediate_size=32,
        num_hidden_layers=3,
        sliding_window=5,
        swiglu_limit=1.5,
        rope_scaling={
            "rope_type": "yarn",
            "factor": 8.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 64,
        },
    ),
    tiny("deepseek_v2", "DeepseekV2ForCausalLM", **LATENT, q_lora_rank=None, topk_method="greedy"),
    tiny(
        "deepseek_v2/stretched",
        "DeepseekV2ForCausalLM",
        **LATENT,
        q_lora_rank=32,
        rope_scaling={
            "type": "yarn",
            "factor": 4.0,
            "beta_fast": 32,
            "beta_slow": 1,
            "mscale": 0.5,
            "mscale_all_dim": 0.7,
            "original_max_position_embeddings": 32,
        },
    ),
)
