"""Rotations of queries and keys by position: which there are, and their tables of angles.

This module knows no model family, no checkpoint and no graph.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


class LinearScaling(msgspec.Struct, frozen=True, kw_only=True):
    """Every frequency divided by `factor` (arXiv:2306.15595)."""

    factor: float


class Llama3Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """Low frequencies divided by `factor`, high ones kept, those between blended.

    Low and high are counted in turns over `original_context_length` tokens (Llama 3.1,
    https://github.com/meta-llama/llama-models, `apply_scaling`).
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context_length: int


class Yarn(msgspec.Struct, frozen=True, kw_only=True):
    """Divide slow frequencies by `factor`, and blend between the two betas (arXiv:2309.00071).

    The betas count rotations within the context that the model was first trained on. Cosines and
    sines are multiplied by `attention_factor`. `truncate` rounds the blend's ends to whole pairs.
    """

    factor: float
    original_max_position_embeddings: int
    beta_fast: float
    beta_slow: float
    attention_factor: float
    truncate: bool


class PairScaling(msgspec.Struct, frozen=True, kw_only=True):
    """Each frequency divided by a factor of its own (LongRoPE, arXiv:2402.13753).

    Cosines and sines are multiplied by `attention_factor`.
    """

    factors: tuple[float, ...]
    attention_factor: float


class FastestPairs(msgspec.Struct, frozen=True, kw_only=True):
    """Only the first `share` of the pairs turn, with the frequencies they have; the others stand.

    Source: `_compute_proportional_rope_parameters` of transformers.
    """

    share: float


RopeScaling = LinearScaling | Llama3Scaling | Yarn | PairScaling | FastestPairs


class Rope(msgspec.Struct, frozen=True, kw_only=True):
    """Rotate the halves of each head by position * theta^(-2i/head_dim) (arXiv:2104.09864).

    `interleaved` rotates neighbours instead of halves; `share` of each head, its first part, is
    rotated and the rest stays.
    """

    theta: float
    scaling: RopeScaling | None = None
    interleaved: bool = False
    share: float = 1.0


def rope_tables(rope: Rope, head_dim: int, num_positions: int) -> tuple[Array, Array]:
    """Return cosines and sines, [num_positions, head_dim / 2], scaled as attention takes them.

    Frequencies and angles are rounded to float32 as the models were trained with: in double
    precision the angle at position 2,000 differs by 1e-4.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    unscaled = 1.0 / np.power(rope.theta, exponents.astype(np.float64))
    frequencies = _scaled(rope, unscaled).astype(np.float32)
    scaling = rope.scaling
    size = scaling.attention_factor if isinstance(scaling, Yarn | PairScaling) else 1.0
    angles = np.arange(num_positions, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles.astype(np.float64)) * size, np.sin(angles.astype(np.float64)) * size


def _scaled(rope: Rope, frequencies: Array) -> Array:
    match rope.scaling:
        case None:
            return frequencies
        case LinearScaling(factor=factor):
            return frequencies / factor
        case Llama3Scaling(factor=factor, low_freq_factor=low, high_freq_factor=high) as scaling:
            turns = frequencies * scaling.original_context_length / (2 * np.pi)
            kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
            return (1 - kept) * frequencies / factor + kept * frequencies
        case PairScaling(factors=factors):
            return frequencies / np.array(factors)
        case FastestPairs(share=share):
            turns = np.arange(len(frequencies)) < int(share * len(frequencies))
            return np.where(turns, frequencies, 0.0)
        case Yarn() as yarn:
            kept = _yarn_share_kept(rope.theta, yarn, len(frequencies))
            return (1 - kept) * frequencies / yarn.factor + kept * frequencies


def _yarn_share_kept(theta: float, yarn: Yarn, num_frequencies: int) -> Array:
    """Return how much of each frequency stays as it is: 1 for fast ones, 0 for slow ones."""

    def pair_that_turns(num_rotations: float) -> float:
        wavelength = yarn.original_max_position_embeddings / (num_rotations * 2 * np.pi)
        return float(num_frequencies * np.log(wavelength) / np.log(theta))

    low, high = pair_that_turns(yarn.beta_fast), pair_that_turns(yarn.beta_slow)
    if yarn.truncate:
        low, high = np.floor(low), np.ceil(high)
    low, high = max(low, 0.0), min(high, 2.0 * num_frequencies - 1)
    high += 0.001 * (low == high)
    ramp = (np.arange(num_frequencies) - low) / (high - low)
    return 1.0 - np.clip(ramp, 0, 1)
