"""Write tiny random checkpoints, the same bytes for the same seed, with numpy alone.

They have the tensor names and config keys of the real ones, so that transformers loads them too.
Weights are larger than a trained model's: every part then moves the logits by far more than the
tolerances that tests state.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from tests.support.ruled_shapes import ruled_shapes

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
VOCAB_SIZE = 272

STORAGE = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


@dataclass(frozen=True)
class TinyModel:
    """One tiny model: `config` overrides `base`, `seed` makes its weights."""

    name: str
    seed: int
    config: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=lambda: BASE_CONFIG)

    @property
    def full_config(self) -> dict[str, Any]:
        return {**self.base, **self.config}


BASE_CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "use_sliding_window": False,
    "torch_dtype": "float32",
    "eos_token_id": 0,
}

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


TINY_MODELS = (
    TinyModel("plain", 1),
    TinyModel("tied", 2, {"tie_word_embeddings": True}),
    TinyModel("unnormalized", 3, {"norm_topk_prob": False, "num_experts_per_tok": 3}),
    TinyModel("dense_first", 4, {"num_hidden_layers": 3, "mlp_only_layers": [0, 1]}),
    TinyModel("every_second_sparse", 5, {"num_hidden_layers": 4, "decoder_sparse_step": 2}),
    TinyModel("single_kv_head", 6, {"num_key_value_heads": 1, "head_dim": 32}),
    TinyModel("equal_heads", 7, {"num_key_value_heads": 4, "rope_theta": 1000000.0}),
    TinyModel("many_experts", 8, {"num_experts": 16, "num_experts_per_tok": 4}),
    TinyModel("one_expert_each", 9, {"num_experts_per_tok": 1, "norm_topk_prob": False}),
)


def write_tiny_checkpoint(
    folder: Path, model: TinyModel = TINY_MODELS[0], *, dtype: str = "float32", num_shards: int = 1
) -> Path:
    """Write config, weights, tokenizer and generation config; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", model.full_config | {"torch_dtype": dtype})
    write_json(folder / "generation_config.json", {"eos_token_id": [0]})
    write_json(folder / "tokenizer.json", byte_tokenizer())
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    tensors = {
        name: values.astype(STORAGE[dtype]) for name, values in random_tensors(model).items()
    }
    write_shards(folder, tensors, num_shards)
    return folder


def write_shards(folder: Path, tensors: Mapping[str, npt.NDArray[Any]], num_shards: int) -> None:
    if num_shards == 1:
        save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for index in range(num_shards):
        shard = f"model-{index + 1:05d}-of-{num_shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[index::num_shards]}
        save_file(part, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, shard)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def random_tensors(model: TinyModel) -> dict[str, npt.NDArray[np.float32]]:
    """Return every tensor of the checkpoint; matrices keep the size of what they multiply."""
    random = np.random.default_rng(model.seed)
    return {
        name: 1.0 + 0.2 * random.standard_normal(shape, np.float32)
        if name.endswith(("norm.weight", "norm.scale"))
        else random.standard_normal(shape, np.float32) * np.float32(1.2 / np.sqrt(shape[-1]))
        for name, shape in shapes_of(model.full_config).items()
    }


def shapes_of(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Spell Qwen3-MoE out; take the others from their own rules, which transformers judges."""
    is_spelled_out = config["model_type"] == BASE_CONFIG["model_type"]
    return tensor_shapes(config) if is_spelled_out else ruled_shapes(config)


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        parts = {
            "input_layernorm.weight": (hidden,),
            "post_attention_layernorm.weight": (hidden,),
            **_attention_shapes(config),
            **_feed_forward_shapes(config, layer),
        }
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in parts.items()}
    return shapes


def _attention_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, head_dim = config["hidden_size"], config["head_dim"]
    query, key = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    return {
        "self_attn.q_proj.weight": (query, hidden),
        "self_attn.k_proj.weight": (key, hidden),
        "self_attn.v_proj.weight": (key, hidden),
        "self_attn.o_proj.weight": (hidden, query),
        "self_attn.q_norm.weight": (head_dim,),
        "self_attn.k_norm.weight": (head_dim,),
    }


def _feed_forward_shapes(config: Mapping[str, Any], layer: int) -> dict[str, tuple[int, ...]]:
    is_sparse = (layer + 1) % config["decoder_sparse_step"] == 0
    if layer in config["mlp_only_layers"] or not is_sparse:
        return _gated_shapes("mlp.", config["hidden_size"], config["intermediate_size"])
    shapes = {"mlp.gate.weight": (config["num_experts"], config["hidden_size"])}
    for expert in range(config["num_experts"]):
        prefix = f"mlp.experts.{expert}."
        shapes |= _gated_shapes(prefix, config["hidden_size"], config["moe_intermediate_size"])
    return shapes


def _gated_shapes(prefix: str, hidden: int, size: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}gate_proj.weight": (size, hidden),
        f"{prefix}up_proj.weight": (size, hidden),
        f"{prefix}down_proj.weight": (hidden, size),
    }


def byte_tokenizer() -> dict[str, Any]:
    """Return a tokenizer.json whose tokens are the special ones, then one for each byte."""
    num_special = len(SPECIAL_TOKENS)
    vocab = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    vocab |= {character: num_special + byte for byte, character in enumerate(_byte_characters())}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, **flags, "special": True}
            for index, token in enumerate(SPECIAL_TOKENS)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level | {"use_regex": False},
        "post_processor": None,
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [],
        },
    }


def _byte_characters() -> list[str]:
    """Return the 256 characters that byte-level BPE writes bytes as (GPT-2's table)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")
