"""Tiny models of further families that are written as GGUF."""

from typing import Final

from tests.support.tiny_checkpoints import tiny

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
    tiny("gemma", "GemmaForCausalLM", head_dim=32, hidden_act="gelu", tie_word_embeddings=True),
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
    tiny(
        "stablelm",
        "StableLmForCausalLM",
        rms_norm_eps=None,
        layer_norm_eps=1e-5,
        partial_rotary_factor=0.5,
        use_qkv_bias=True,
    ),
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
    tiny("internlm2", "InternLM2ForCausalLM", bias=False),
)
