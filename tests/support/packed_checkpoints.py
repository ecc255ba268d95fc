"""Tiny checkpoints with matrices in few bits, stored as gpt-oss and DeepSeek-V3 store theirs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file, save_file

from tests.support.tiny_checkpoints import TinyModel, write_json, write_tiny_checkpoint

Array = np.ndarray[Any, Any]


def write_mxfp4_checkpoint(folder: Path, model: TinyModel) -> Path:
    """Store the experts of a tiny gpt-oss in random 4-bit codes and scales."""
    random = np.random.default_rng(model.seed)

    def pack(name: str, values: Array) -> dict[str, Array]:
        if not name.endswith(("gate_up_proj", "down_proj")):
            return {name: values.astype(ml_dtypes.bfloat16)}
        experts, columns, rows = values.shape
        shape = (experts, rows, columns // 32)
        return {
            f"{name}_blocks": random.integers(0, 256, (*shape, 16), np.uint8),
            f"{name}_scales": random.integers(122, 126, shape, np.uint8),
        }

    stored = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
    return _rewrite(write_tiny_checkpoint(folder, model), pack, stored)


def write_fp8_checkpoint(folder: Path, model: TinyModel) -> Path:
    """Store projections in E4M3 with a scale for each block of 128 by 128."""

    def pack(name: str, values: Array) -> dict[str, Array]:
        if not name.endswith("_proj.weight"):
            return {name: values.astype(ml_dtypes.bfloat16)}
        blocks = tuple(-(-size // 128) for size in values.shape)
        scales = np.full(blocks, np.abs(values).max() / 448, np.float32)
        return {
            name: (values / scales[0, 0]).astype(ml_dtypes.float8_e4m3fn),
            f"{name}_scale_inv": scales,
        }

    stored = {
        "quant_method": "fp8",
        "fmt": "e4m3",
        "activation_scheme": "dynamic",
        "weight_block_size": [128, 128],
    }
    return _rewrite(write_tiny_checkpoint(folder, model), pack, stored)


def write_modelopt_checkpoint(folder: Path, model: TinyModel) -> Path:
    """Store projections in E4M3 with one scale each, and scales of what is not stored beside it."""

    def pack(name: str, values: Array) -> dict[str, Array]:
        if not name.endswith("_proj.weight"):
            return {name: values.astype(ml_dtypes.bfloat16)}
        scale = np.array(np.abs(values).max() / 448, np.float32)
        stem = name.removesuffix("weight")
        beside = ("input_scale", "k_scale") if stem.endswith("k_proj.") else ("input_scale",)
        return {
            name: (values / scale).astype(ml_dtypes.float8_e4m3fn),
            f"{name}_scale": scale,
            **{stem + other: np.array(0.5, np.float32) for other in beside},
        }

    float8 = {"dynamic": False, "num_bits": 8, "type": "float"}
    stored = {
        "config_groups": {"group_0": {"input_activations": float8, "weights": float8}},
        "ignore": ["lm_head"],
        "quant_algo": "FP8",
        "kv_cache_scheme": "FP8",
        "producer": {"name": "modelopt", "version": "0.31.0"},
    }
    return _rewrite(write_tiny_checkpoint(folder, model), pack, stored)


def _rewrite(folder: Path, pack: Any, stored: Mapping[str, Any]) -> Path:
    tensors: dict[str, Array] = {}
    for name, values in load_file(folder / "model.safetensors").items():
        tensors |= pack(name, values)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    write_json(folder / "config.json", config | {"quantization_config": dict(stored)})
    return folder
