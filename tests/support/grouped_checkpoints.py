"""Tiny checkpoints whose matrices are stored as GPTQ, AWQ and llm-compressor store theirs.

Packed word by word, as those programs do it, and by nothing of the exporter's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, write_json, write_tiny_checkpoint

Array = np.ndarray[Any, Any]

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
IN_ORDER = (0, 1, 2, 3, 4, 5, 6, 7)
METHOD_KEYS = {
    "gptq": {"quant_method": "gptq", "checkpoint_format": "gptq", "desc_act": False},
    "gptq_v2": {"quant_method": "gptq", "checkpoint_format": "gptq_v2", "desc_act": False},
    "awq": {"quant_method": "awq", "version": "gemm", "zero_point": True},
}


@dataclass(frozen=True)
class Stored:
    """How the matrices whose names end in one of `names` are stored."""

    layout: str = "gptq"
    bits: int = 4
    group_size: int = 32
    is_symmetric: bool = False
    is_reordered: bool = False
    names: tuple[str, ...] = ("_proj.weight",)
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        if self.layout == "pack-quantized":
            return self._compressed_config()
        sizes = {"bits": self.bits, "group_size": self.group_size}
        return METHOD_KEYS[self.layout] | sizes | {"sym": self.is_symmetric} | dict(self.keys)

    def _compressed_config(self) -> dict[str, Any]:
        weights = {
            "num_bits": self.bits,
            "type": "int",
            "strategy": "channel" if self.group_size == -1 else "group",
            "group_size": None if self.group_size == -1 else self.group_size,
            "symmetric": self.is_symmetric,
            "actorder": "group" if self.is_reordered else None,
            "dynamic": False,
            "observer": "minmax",
        }
        group = {"targets": ["Linear"], "weights": weights, "input_activations": None}
        return {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": group},
            "ignore": ["lm_head"],
            **self.keys,
        }


def write_grouped_checkpoint(
    folder: Path, stored: Stored, model: TinyModel = TINY_MODELS[0]
) -> dict[str, Array]:
    """Write a tiny model whose matrices are random integers; return the values of all tensors."""
    write_tiny_checkpoint(folder, model, dtype="float16")
    random = np.random.default_rng(model.seed)
    tensors: dict[str, Array] = {}
    values: dict[str, Array] = {}
    for name, plain in load_file(folder / "model.safetensors").items():
        if not name.endswith(stored.names):
            tensors[name], values[name] = plain, plain.astype(np.float32)
            continue
        integers, zeros, scales, groups = random_matrix(random, plain.shape, stored)
        values[name] = (integers - zeros[groups].T.astype(np.float32)) * scales[groups].T
        stem = name.removesuffix("weight")
        parts = all_parts(stored, integers, zeros, scales, groups)
        tensors |= {f"{stem}{part}": array for part, array in parts.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    write_json(folder / "config.json", config | {"quantization_config": stored.config})
    return values


def random_matrix(
    random: np.random.Generator, shape: Sequence[int], stored: Stored
) -> tuple[Array, Array, Array, Array]:
    """Return integers [out, in], zeros and scales [groups, out], and groups [in]."""
    rows, columns = shape
    size = columns if stored.group_size == -1 else stored.group_size
    num_groups, steps = -(-columns // size), 2**stored.bits
    integers = random.integers(0, steps, (rows, columns))
    zeros = np.full((num_groups, rows), steps // 2)
    if not stored.is_symmetric:
        zeros = random.integers(0, steps, (num_groups, rows))
    scales = (random.random((num_groups, rows)) + 0.5) * 4 / steps / np.sqrt(columns)
    groups = np.arange(columns) // size
    if stored.is_reordered:
        groups = random.permutation(groups)
    return integers, zeros, scales.astype(np.float16).astype(np.float32), groups


def all_parts(
    stored: Stored, integers: Array, zeros: Array, scales: Array, groups: Array
) -> dict[str, Array]:
    """Return what a matrix of these integers is stored as, by what its name ends in."""
    parts = packed(stored.layout, stored.bits, integers, zeros)
    scales = scales.astype(np.float16)
    if stored.layout == "pack-quantized":
        order = {"weight_g_idx": groups.astype(np.int32)} if stored.is_reordered else {}
        shape = np.array(integers.shape, np.int64)
        if stored.is_symmetric:
            parts.pop("weight_zero_point")
        rows = np.ascontiguousarray(scales.T)
        return parts | {"weight_scale": rows, "weight_shape": shape} | order
    order = {} if stored.layout == "awq" else {"g_idx": groups.astype(np.int32)}
    return parts | {"scales": scales} | order


def packed(layout: str, bits: int, integers: Array, zeros: Array) -> dict[str, Array]:
    """Return words of integers [out, in] and of zeros [groups, out]."""
    if layout == "pack-quantized":
        return {
            "weight_packed": packed_columns(integers, bits, IN_ORDER),
            "weight_zero_point": np.ascontiguousarray(packed_columns(zeros, bits, IN_ORDER).T),
        }
    if layout == "awq":
        return {
            "qweight": packed_columns(integers.T, bits, AWQ_ORDER),
            "qzeros": packed_columns(zeros, bits, AWQ_ORDER),
        }
    qzeros = packed_columns(zeros, bits, IN_ORDER)
    if layout == "gptq":
        ones = sum(1 << shift for shift in range(0, 32, bits))
        qzeros = (qzeros.view(np.uint32) - np.uint32(ones)).view(np.int32)
    qweight = packed_columns(integers, bits, IN_ORDER).T
    return {"qweight": np.ascontiguousarray(qweight), "qzeros": qzeros}


def packed_columns(integers: Array, bits: int, order: Sequence[int]) -> Array:
    """Pack neighbours in a row into words of 32 bits."""
    per_word = 32 // bits
    words = np.zeros((integers.shape[0], integers.shape[1] // per_word), np.uint64)
    for column in range(words.shape[1]):
        for place in range(per_word):
            taken = integers[:, column * per_word + order[place]].astype(np.uint64)
            words[:, column] |= taken << np.uint64(bits * place)
    return words.astype(np.uint32).view(np.int32)
