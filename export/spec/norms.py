"""Norms of the last axis: which there are, and what they compute.

This module knows no model family, no checkpoint and no graph.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


class RmsNorm(msgspec.Struct, frozen=True, kw_only=True):
    """x / sqrt(mean(x²) + epsilon) * (offset + weight) (Zhang and Sennrich, arXiv:1910.07467)."""

    epsilon: float
    offset: float = 0.0


class LayerNorm(msgspec.Struct, frozen=True, kw_only=True):
    """(x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias (arXiv:1607.06450)."""

    epsilon: float


Norm = RmsNorm | LayerNorm


def rms_norm(norm: RmsNorm, weight: Array, x: Array) -> Array:
    mean_square = np.mean(x * x, axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + norm.epsilon) * (norm.offset + weight)
