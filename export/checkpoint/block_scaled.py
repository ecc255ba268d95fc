"""Tensors that a checkpoint stores in few bits with scales beside them, read as one tensor each.

MXFP4 (OCP Microscaling Formats 1.0, section 5.4): 32 values share a scale of 2^(byte - 127), a
value is a sign, two bits of exponent and one of mantissa, and two of them share a byte, the first
in the low bits. gpt-oss stores an expert matrix as `X_blocks` [..., out, in / 32, 16] and
`X_scales` [..., out, in / 32]; unpacked it is `X` [..., in, out], as its other checkpoints hold it.

FP8, or integers of 8 bits, with scales for a matrix, for each row or for each block of 128 by 128:
`X.weight` [out, in] and either `X.weight_scale_inv` (DeepSeek-V3, arXiv:2412.19437, section 3.3) or
`X.weight_scale` (NVIDIA's ModelOpt, modelopt/torch/export/quant_utils.py; llm-compressor's
compressed-tensors, compressors/naive_quantized), factors all. Beside them lie scales of what is not
stored: `X.input_scale` of activations, `X.k_scale` and `X.v_scale` of keys and values.

This module knows no file and no model.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
Shape = tuple[int, ...]

FP8_BLOCK: Final = 128

_E2M1: Final = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], np.float32)
_MXFP4_VALUES: Final = np.concatenate([_E2M1, -_E2M1])


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """How `X` is stored: names are X and a suffix, `shape` is that of X or None for no match.

    `unused` are tensors of the same matrix that are left out.
    """

    name: str
    values_suffix: str
    scales_suffix: str
    values_dtype: str
    scales_dtypes: frozenset[str]
    shape: Callable[[Shape, Shape], Shape | None]
    unpack: Callable[[Array, Array], Float32]
    unused: tuple[str, ...] = ()

    def unused_names(self, name: str) -> set[str]:
        """Return what the tensors that are left out beside X = `name` are called."""
        return {name.removesuffix("weight") + other for other in self.unused}


def unpack_mxfp4(blocks: Array, scales: Array) -> Float32:
    """Return [..., in, out] of blocks [..., out, in / 32, 16] and scales [..., out, in / 32]."""
    codes = np.stack([blocks & np.uint8(0x0F), blocks >> np.uint8(4)], axis=-1)
    values = _MXFP4_VALUES[codes.reshape(*blocks.shape[:-1], 32)]
    scaled = np.ldexp(values, scales.astype(np.int32)[..., None] - 127)
    return np.swapaxes(scaled.reshape(*blocks.shape[:-2], -1), -1, -2)


def unpack_scaled(values: Array, scales: Array) -> Float32:
    """Return [out, in] of values [out, in] and scales: one, one a row, or one a block."""
    rows, columns = values.shape
    if scales.size == 1:
        factors = scales.reshape(1, 1).astype(np.float32)
    elif scales.shape == (rows, 1):
        factors = scales.astype(np.float32)
    else:
        factors = scales.astype(np.float32).repeat(FP8_BLOCK, axis=0)[:rows]
        factors = factors.repeat(FP8_BLOCK, axis=1)[:, :columns]
    return values.astype(np.float32) * factors


def find_packing(
    name: str, tensors: Mapping[str, tuple[str, Shape]]
) -> tuple[Packing, str, str] | None:
    """Return how a tensor is packed, what it is called unpacked, and what its scales are called.

    `tensors` holds dtype and shape of each by name.
    """
    dtype, _ = tensors[name]
    for packing in _PACKINGS:
        if dtype == packing.values_dtype and name.endswith(packing.values_suffix):
            stem = name.removesuffix(packing.values_suffix)
            scales = stem + packing.scales_suffix
            if tensors.get(scales, ("", ()))[0] in packing.scales_dtypes:
                return packing, stem, scales
    return None


def _mxfp4_shape(blocks: Shape, scales: Shape) -> Shape | None:
    if len(blocks) < 3 or blocks[-1] != 16 or blocks[:-1] != scales:
        return None
    return (*blocks[:-3], blocks[-2] * 32, blocks[-3])


def _scaled_shape(values: Shape, scales: Shape) -> Shape | None:
    if len(values) != 2:
        return None
    blocks = tuple(-(-size // FP8_BLOCK) for size in values)
    return values if scales in {(), (1,), (values[0], 1), blocks} else None


_BESIDE: Final = (
    *("activation_scale", "input_scale", "input_zero_point", "output_scale"),
    *("k_scale", "v_scale"),
)

_PACKINGS: Final = (
    Packing(
        name="MXFP4",
        values_suffix="_blocks",
        scales_suffix="_scales",
        values_dtype="U8",
        scales_dtypes=frozenset({"U8"}),
        shape=_mxfp4_shape,
        unpack=unpack_mxfp4,
    ),
    *(
        Packing(
            name=name,
            values_suffix="",
            scales_suffix=suffix,
            values_dtype=dtype,
            scales_dtypes=frozenset({"F32", "F16", "BF16"}),
            shape=_scaled_shape,
            unpack=unpack_scaled,
            unused=_BESIDE,
        )
        for name, dtype, suffix in (
            ("FP8", "F8_E4M3", "_scale_inv"),
            ("FP8", "F8_E4M3", "_scale"),
            ("8 bits", "I8", "_scale"),
        )
    ),
)
