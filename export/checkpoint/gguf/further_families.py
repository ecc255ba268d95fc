"""What further architectures of GGUF say in their metadata, as in `families`."""

from export.checkpoint.gguf.metadata import (
    Described,
    Values,
    decoder,
    partly_rotated,
    rope_scaling,
    shortest,
    sizes,
    window,
    windows_by_turns,
)


def gemma(file: Described) -> Values:
    return {"model_type": "gemma", **decoder(file), "hidden_act": "gelu_pytorch_tanh"}


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
