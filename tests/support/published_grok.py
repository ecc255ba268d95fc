"""Grok-1 as published: `model.py` of https://github.com/xai-org/grok-1 read into numpy.

There is no transformers class to compare with. This knows the checkpoint's names and nothing of our
specs, slots and graphs, so that it can judge them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def grok_logits(
    config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], token_ids: Sequence[int]
) -> Array:
    """Return [num_tokens, vocab_size]."""
    weights = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    embeddings = weights["model.embed_tokens.weight"]
    h = embeddings[list(token_ids)] * config["embedding_multiplier_scale"]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        part = {
            name.removeprefix(prefix): tensor
            for name, tensor in weights.items()
            if name.startswith(prefix)
        }
        h_attn = multi_head_attention(config, part, rms_norm(h, part["pre_attn_norm.scale"]))
        h = h + rms_norm(h_attn, part["post_attn_norm.scale"])
        h_dense = moe_layer(config, part, rms_norm(h, part["pre_moe_norm.scale"]))
        h = h + rms_norm(h_dense, part["post_moe_norm.scale"])
    out = rms_norm(h, weights["model.norm.scale"]) @ embeddings.T
    return out * config["output_multiplier_scale"]


def rms_norm(x: Array, scale: Array) -> Array:
    return scale * x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5)


def multi_head_attention(config: Mapping[str, Any], part: Mapping[str, Array], x: Array) -> Array:
    num_kv_heads, num_tokens = config["num_key_value_heads"], len(x)
    key_size = config["hidden_size"] // config["num_attention_heads"]
    query = rotate((x @ part["attn.q_proj.weight"].T).reshape(num_tokens, -1, key_size))
    key = rotate((x @ part["attn.k_proj.weight"].T).reshape(num_tokens, -1, key_size))
    value = (x @ part["attn.v_proj.weight"].T).reshape(num_tokens, -1, key_size)
    query = query.reshape(num_tokens, num_kv_heads, -1, key_size)
    attn_logits = np.einsum("thHd,Thd->hHtT", query, key) * config["attn_output_multiplier"]
    attn_logits = 30.0 * np.tanh(attn_logits / 30.0)
    causal = np.tril(np.ones((num_tokens, num_tokens), np.bool_))
    attn_weights = softmax(np.where(causal, attn_logits, -1e30))
    attn = np.einsum("hHtT,Thd->thHd", attn_weights, value).reshape(num_tokens, -1)
    return attn @ part["attn.o_proj.weight"].T


def rotate(x: Array) -> Array:
    size = x.shape[-1]
    frequencies = 1.0 / 10000 ** (np.arange(0, size, 2) / size)
    phase = np.tile(np.arange(len(x))[:, None] * frequencies, 2)[:, None, :]
    first, second = np.split(x, 2, axis=-1)
    return x * np.cos(phase) + np.concatenate([-second, first], axis=-1) * np.sin(phase)


def moe_layer(config: Mapping[str, Any], part: Mapping[str, Array], x: Array) -> Array:
    routing_probs = softmax(x @ part["moe_block.gate.weight"].T)
    out = np.zeros_like(x)
    for row, probs in enumerate(routing_probs):
        for expert in np.argsort(probs)[::-1][: config["num_experts_per_tok"]]:
            prefix = f"moe_block.experts.{expert}."
            h_v = part[prefix + "linear_v.weight"] @ x[row]
            h_w1 = gelu(part[prefix + "linear.weight"] @ x[row])
            out[row] += probs[expert] * (part[prefix + "linear_1.weight"] @ (h_w1 * h_v))
    return out


def gelu(x: Array) -> Array:
    """Compute jax.nn.gelu, which approximates unless it is told not to."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
