"""Families that transformers has no class for, as checkpoints of one that computes the same.

Each conversion follows the code that the owner published. It knows checkpoints' names and nothing
of our specs, slots and rules, so that it can judge them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.tiny_checkpoints import (
    TinyModel,
    random_tensors,
    write_json,
    write_shards,
    write_tiny_checkpoint,
)

Config = Mapping[str, Any]
Tensors = Mapping[str, npt.NDArray[np.float32]]
Equivalent = tuple[Config, Tensors]


def write_original(folder: Path, model: TinyModel) -> Path:
    """Write what transformers loads of a tiny model: itself, or its equivalent."""
    checkpoint = write_tiny_checkpoint(folder, model)
    convert = EQUIVALENTS.get(model.full_config["model_type"])
    if convert is not None:
        config, tensors = convert(model.full_config, random_tensors(model))
        write_json(checkpoint / "config.json", config)
        write_shards(checkpoint, {name: np.ascontiguousarray(t) for name, t in tensors.items()}, 1)
    return checkpoint


def kimi_as_deepseek(config: Config, tensors: Tensors) -> Equivalent:
    return {**config, "model_type": "deepseek_v3"}, tensors


def internlm_as_llama(config: Config, tensors: Tensors) -> Equivalent:
    """Take the projections apart as `rearrange(qkv, "(h gs d)")` of the published code does."""
    num_keys = config["num_key_value_heads"]
    group = config["num_attention_heads"] // num_keys
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    found: dict[str, npt.NDArray[np.float32]] = {}
    for name, tensor in tensors.items():
        if name.endswith("attention.wqkv.weight"):
            prefix = name.removesuffix("attention.wqkv.weight") + "self_attn."
            heads = tensor.reshape(num_keys, group + 2, head_dim, -1)
            hidden = tensor.shape[1]
            found[prefix + "q_proj.weight"] = heads[:, :group].reshape(-1, hidden)
            found[prefix + "k_proj.weight"] = heads[:, -2].reshape(-1, hidden)
            found[prefix + "v_proj.weight"] = heads[:, -1].reshape(-1, hidden)
        else:
            found[_renamed(name, INTERNLM_NAMES)] = tensor
    return {**config, "architectures": ["LlamaForCausalLM"], "model_type": "llama"}, found


INTERNLM_NAMES: Mapping[str, str] = {
    "model.tok_embeddings.": "model.embed_tokens.",
    "attention.wo.": "self_attn.o_proj.",
    "attention_norm.": "input_layernorm.",
    "ffn_norm.": "post_attention_layernorm.",
    "feed_forward.w1.": "mlp.gate_proj.",
    "feed_forward.w2.": "mlp.down_proj.",
    "feed_forward.w3.": "mlp.up_proj.",
    "output.weight": "lm_head.weight",
}


def ling_as_qwen(config: Config, tensors: Tensors) -> Equivalent:
    """Read `BailingMoeForCausalLM`: Qwen2-MoE halves what its shared experts say, so it is doubled.

    The head's columns are divided by their length once, before the first logits.
    """
    names = {**LING_NAMES, "mlp.shared_experts.": "mlp.shared_expert."}
    found = {
        name: 2 * tensor if "shared_expert.down_proj" in name else tensor
        for name, tensor in _all_renamed(_apart(config, tensors), names).items()
    }
    head = found["lm_head.weight"]
    found["lm_head.weight"] = head / (np.linalg.norm(head, axis=0) + np.float32(1e-7))
    for layer in range(config["num_hidden_layers"]):
        gate = np.zeros((1, config["hidden_size"]), np.float32)
        found[f"model.layers.{layer}.mlp.shared_expert_gate.weight"] = gate
    shared = config["num_shared_experts"] * config["moe_intermediate_size"]
    other = {
        "architectures": ["Qwen2MoeForCausalLM"],
        "model_type": "qwen2_moe",
        "qkv_bias": config["use_qkv_bias"],
        "shared_expert_intermediate_size": shared,
    }
    return {**config, **other}, found


def second_ling_as_glm(config: Config, tensors: Tensors) -> Equivalent:
    """Read `BailingMoeV2Gate` and `BailingMoeV2Attention`, which normalizes before it rotates."""
    found = _all_renamed(_apart(config, tensors), LING_NAMES)
    other = {
        "architectures": ["Glm4MoeForCausalLM"],
        "model_type": "glm4_moe",
        "attention_bias": config["use_qkv_bias"],
        "n_routed_experts": config["num_experts"],
        "n_shared_experts": config["num_shared_experts"],
    }
    return {**config, **other}, found


def _ling(config: Config, tensors: Tensors) -> Equivalent:
    is_second = config["architectures"] == ["BailingMoeV2ForCausalLM"]
    return (second_ling_as_glm if is_second else ling_as_qwen)(config, tensors)


def _apart(config: Config, tensors: Tensors) -> Tensors:
    """Split `qkv` by heads as `qkv.split([num_heads, num_keys, num_keys], dim=-2)` does."""
    num_heads, num_keys = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim", config["hidden_size"] // num_heads)
    ends = np.cumsum([num_heads * head_dim, num_keys * head_dim])
    found: dict[str, npt.NDArray[np.float32]] = {}
    for name, tensor in tensors.items():
        if "attention.query_key_value." in name:
            for letter, part in zip("qkv", np.split(tensor, ends), strict=True):
                own = name.replace("attention.query_key_value", f"self_attn.{letter}_proj")
                found[own] = part
        else:
            found[name] = tensor
    return found


LING_NAMES: Mapping[str, str] = {
    "model.word_embeddings.": "model.embed_tokens.",
    "attention.dense.": "self_attn.o_proj.",
    "attention.query_layernorm.": "self_attn.q_norm.",
    "attention.key_layernorm.": "self_attn.k_norm.",
    "mlp.gate.expert_bias": "mlp.gate.e_score_correction_bias",
}


def mimo_as_qwen(config: Config, tensors: Tensors) -> Equivalent:
    """Read `class MiMoModel(Qwen2Model)`: the layers that predict further tokens are beside it."""
    return {**config, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}, tensors


def _all_renamed(tensors: Tensors, names: Mapping[str, str]) -> dict[str, npt.NDArray[np.float32]]:
    return {_renamed(name, names): tensor for name, tensor in tensors.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for theirs, other in names.items():
        name = name.replace(theirs, other)
    return name


EQUIVALENTS: Mapping[str, Callable[[Config, Tensors], Equivalent]] = {
    "bailing_moe": _ling,
    "internlm2": internlm_as_llama,
    "kimi_k2": kimi_as_deepseek,
    "mimo": mimo_as_qwen,
}
