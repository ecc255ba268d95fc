"""Arrange expert matrices as the runtime's MoE and QMoE operators read them.

With `swiglu_fusion=1` the first matrix of an expert holds gate and up interleaved row by row:
gate 0, up 0, gate 1, up 1 and so on. Blocks run along rows, so rounding and interleaving commute.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from export.quantization.blockwise import Float, Quantized, Weight, join_zero_points


def interleave(gate: Weight, up: Weight) -> Weight:
    """Combine [num_experts, size, hidden] weights into one of [num_experts, 2 * size, hidden]."""
    match gate, up:
        case Float(), Float():
            return Float(_interleaved_rows(gate.values, up.values))
        case Quantized(), Quantized():
            assert (gate.bits, gate.block_size) == (up.bits, up.block_size)
            return Quantized(
                bits=gate.bits,
                block_size=gate.block_size,
                data=_interleaved_rows(gate.data, up.data),
                scales=_interleaved_rows(gate.scales, up.scales),
                zero_points=join_zero_points([gate, up], lambda both: _interleaved_rows(*both)),
            )
        case _:
            raise AssertionError("gate and up come from one scheme")


def _interleaved_rows(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    num_experts, num_rows, width = first.shape
    return np.stack([first, second], axis=2).reshape(num_experts, 2 * num_rows, width)
