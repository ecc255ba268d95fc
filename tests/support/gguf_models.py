"""The tiny models that are written as GGUF: one or two of every architecture that is read."""

from typing import Final

from tests.support.tiny_checkpoints import BASE_CONFIG, TINY_MODELS, TinyModel, tiny

GGUF_MODELS: Final = (
    tiny("qwen2", "Qwen2ForCausalLM", rope_theta=1e6, tie_word_embeddings=True),
    tiny(
        "qwen2/stretched",
        "Qwen2ForCausalLM",
        rope_scaling={
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ),
    tiny("qwen3", "Qwen3ForCausalLM", head_dim=32, tie_word_embeddings=True),
    TINY_MODELS[0],
    TinyModel("wide", 1, {"moe_intermediate_size": 64}, base=BASE_CONFIG),
    tiny("llama", "LlamaForCausalLM"),
    tiny("llama/biased", "LlamaForCausalLM", attention_bias=True, num_key_value_heads=4),
    tiny("llama/linear", "LlamaForCausalLM", rope_scaling={"rope_type": "linear", "factor": 4.0}),
    tiny("mixtral", "MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2),
)
