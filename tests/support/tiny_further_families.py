"""Tiny models of further families, which have their own file because there are many."""

from tests.support.tiny_checkpoints import VOCAB_SIZE, TinyModel, tiny

YARN = {
    "rope_type": "yarn",
    "factor": 8.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 16,
}

BIG_CODE = {
    "architectures": ["GPTBigCodeForCausalLM"],
    "model_type": "gpt_bigcode",
    "vocab_size": VOCAB_SIZE,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "torch_dtype": "float32",
    "eos_token_id": 0,
}

FURTHER_MODELS = (
    tiny("gemma", "GemmaForCausalLM", head_dim=32, hidden_act="gelu", tie_word_embeddings=True),
    tiny(
        "smollm3",
        "SmolLM3ForCausalLM",
        num_hidden_layers=3,
        no_rope_layer_interval=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    ),
    tiny(
        "smollm3/listed",
        "SmolLM3ForCausalLM",
        num_hidden_layers=3,
        no_rope_layers=[0, 1, 1],
        pad_token_id=0,
        attention_bias=True,
    ),
    tiny("olmo2", "Olmo2ForCausalLM", attention_bias=True),
    tiny(
        "olmo3",
        "Olmo3ForCausalLM",
        num_hidden_layers=4,
        sliding_window=5,
        rope_theta=500000.0,
        rope_scaling=YARN,
    ),
    tiny(
        "stablelm",
        "StableLmForCausalLM",
        rms_norm_eps=None,
        layer_norm_eps=1e-5,
        partial_rotary_factor=0.5,
        use_qkv_bias=True,
    ),
    TinyModel("gpt_bigcode", 1101, base=BIG_CODE),
    TinyModel(
        "gpt_bigcode-many-keys",
        1102,
        {
            "multi_query": False,
            "activation_function": "gelu",
            "n_inner": 96,
            "tie_word_embeddings": False,
        },
        base=BIG_CODE,
    ),
)
