"""The tiny models that are written as GGUF: one or two of every architecture that is read."""

import math
from typing import Final

from tests.support.gguf_further_models import FURTHER_GGUF_MODELS
from tests.support.tiny_checkpoints import BASE_CONFIG, TINY_MODELS, TinyModel, tiny
from tests.support.tiny_families import GEMMA, LATENT, NEXT, model_named
from tests.support.tiny_recent_families import QWEN3_5

_EXPERTS: Final = {"num_local_experts": 4, "num_experts_per_tok": 2}
_YARN: Final = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
_LLAMA_3: Final = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_DEEPSEEK_YARN: Final = {
    "type": "yarn",
    "factor": 4.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 0.7,
    "mscale_all_dim": 0.7,
    "original_max_position_embeddings": 32,
}
# Between which pairs of a rotation YaRN blends: llama.cpp takes the next whole ones.
_FRACTIONS: Final = {**_YARN, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}
# With this base and that context they are 1.003 and 4.998.
_WHOLE_ENDS: Final = {**_FRACTIONS, "original_max_position_embeddings": 480}
_WHOLE_ENDS_THETA: Final = 1033.0
_GPT_OSS: Final = {
    **_EXPERTS,
    "head_dim": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "sliding_window": 5,
}
_GEMMA: Final = {**GEMMA, "query_pre_attn_scalar": 32, "num_hidden_layers": 3}
_LATENT: Final = {**LATENT, "q_lora_rank": 32, "rms_norm_eps": 1e-6}

GGUF_MODELS: Final = (
    model_named("qwen2"),
    tiny("qwen2/stretched", "Qwen2ForCausalLM", rope_scaling=_YARN),
    model_named("qwen3"),
    TINY_MODELS[0],
    TinyModel("wide", 1, {"moe_intermediate_size": 64}, base=BASE_CONFIG),
    tiny("llama", "LlamaForCausalLM"),
    model_named("llama-biased"),
    tiny("llama/linear", "LlamaForCausalLM", rope_scaling={"rope_type": "linear", "factor": 4.0}),
    tiny("llama/frequencies", "LlamaForCausalLM", rope_scaling=_LLAMA_3),
    tiny("mixtral", "MixtralForCausalLM", **_EXPERTS),
    tiny(
        "qwen2_moe",
        "Qwen2MoeForCausalLM",
        num_experts=4,
        num_experts_per_tok=2,
        norm_topk_prob=False,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=64,
        qkv_bias=True,
    ),
    tiny("qwen3_next", "Qwen3NextForCausalLM", **NEXT),
    tiny(
        "qwen3_next/ungrouped",
        "Qwen3NextForCausalLM",
        **{**NEXT, "linear_num_value_heads": 2, "linear_conv_kernel_dim": 3},
        full_attention_interval=2,
        tie_word_embeddings=True,
    ),
    tiny(
        "qwen3_5_text",
        "Qwen3_5ForCausalLM",
        **QWEN3_5,
        tie_word_embeddings=True,
    ),
    tiny(
        "qwen3_5_text/ungrouped",
        "Qwen3_5ForCausalLM",
        **{**QWEN3_5, "linear_num_key_heads": 4, "linear_num_value_heads": 4},
        full_attention_interval=2,
    ),
    tiny(
        "qwen3_5_moe_text",
        "Qwen3_5MoeForCausalLM",
        **{**QWEN3_5, "linear_num_value_heads": 6},
        intermediate_size=None,
        num_experts=8,
        num_experts_per_tok=3,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=64,
        full_attention_interval=2,
    ),
    tiny(
        "deepseek_v2/lite",
        "DeepseekV2ForCausalLM",
        **{**_LATENT, "q_lora_rank": None},
        num_hidden_layers=27,
    ),
    tiny("deepseek_v2/stretched", "DeepseekV2ForCausalLM", **_LATENT, rope_scaling=_DEEPSEEK_YARN),
    tiny(
        "deepseek_v2/grouped",
        "DeepseekV2ForCausalLM",
        **_LATENT,
        topk_method="group_limited_greedy",
        n_group=4,
        topk_group=2,
        routed_scaling_factor=2.0,
    ),
    tiny(
        "deepseek_v3",
        "DeepseekV3ForCausalLM",
        **_LATENT,
        n_group=4,
        topk_group=2,
        norm_topk_prob=True,
        routed_scaling_factor=3.0,
        num_nextn_predict_layers=0,
        rope_scaling={**_DEEPSEEK_YARN, "mscale": 1.0, "mscale_all_dim": 1.0},
    ),
    model_named("granite"),
    model_named("granitemoe"),
    model_named("granitemoeshared"),
    tiny(
        "olmoe",
        "OlmoeForCausalLM",
        num_key_value_heads=4,  # llama.cpp reads no others
        num_experts=8,
        num_experts_per_tok=3,
        norm_topk_prob=False,
    ),
    tiny(
        "phimoe",
        "PhimoeForCausalLM",
        **_EXPERTS,
        sliding_window=128,
        attention_bias=True,
        lm_head_bias=True,
    ),
    tiny(
        "phimoe/long",
        "PhimoeForCausalLM",
        **_EXPERTS,
        attention_bias=True,
        lm_head_bias=True,
        max_position_embeddings=512,
        rope_scaling={
            "type": "longrope",
            "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0],
            "long_factor": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            "short_mscale": math.sqrt(9 / 8),
            "long_mscale": math.sqrt(9 / 8),
            "original_max_position_embeddings": 256,
        },
    ),
    tiny(
        "gpt_oss",
        "GptOssForCausalLM",
        **_GPT_OSS,
        rope_scaling=_WHOLE_ENDS,
        rope_theta=_WHOLE_ENDS_THETA,
    ),
    tiny("gpt_oss/stretched", "GptOssForCausalLM", **_GPT_OSS, rope_scaling=_FRACTIONS),
    tiny(
        "glm4_moe",
        "Glm4MoeForCausalLM",
        head_dim=32,
        partial_rotary_factor=0.5,
        attention_bias=True,
        use_qk_norm=True,
        n_routed_experts=8,
        n_shared_experts=1,
        n_group=1,
        topk_group=1,
        num_experts_per_tok=3,
        norm_topk_prob=True,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
        routed_scaling_factor=1.5,
        num_nextn_predict_layers=0,
    ),
    tiny(
        "ernie4_5_moe",
        "Ernie4_5_MoeForCausalLM",
        intermediate_size=128,
        moe_num_experts=8,
        moe_k=3,
        moe_num_shared_experts=2,
        moe_intermediate_size=32,
        moe_layer_start_index=1,
        num_hidden_layers=3,
        use_bias=False,
        tie_word_embeddings=True,
    ),
    tiny(
        "gemma2",
        "Gemma2ForCausalLM",
        **_GEMMA,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=4.0,
    ),
    tiny(
        "gemma3_text",
        "Gemma3ForCausalLM",
        **{**_GEMMA, "num_hidden_layers": 7},
        rope_local_base_freq=100.0,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    ),
    tiny(
        "starcoder2",
        "Starcoder2ForCausalLM",
        hidden_act="gelu_pytorch_tanh",
        norm_epsilon=1e-5,
        rms_norm_eps=None,
        use_bias=True,
        tie_word_embeddings=True,
    ),
    model_named("grok-1"),
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
        rope_parameters={
            "full_attention": {**_YARN, "rope_theta": 500.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
        },
    ),
    *FURTHER_GGUF_MODELS,
)
