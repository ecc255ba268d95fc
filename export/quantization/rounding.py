"""Ways to round a matrix to a grid of blocks: each a function from values to a Quantized.

    nearest          the scale, and zero point, of least squared error in each block
    half_quadratic   the same with an error that forgives outliers, |e|^0.7 (Badri and Shaji 2023,
                     "Half-Quadratic Quantization of Large Machine Learning Models")
    error_feedback   GPTQ: columns in turn, each moving those behind it so that the products with
                     the calibration text's activations change least (arXiv:2210.17323)

The first two see the weights alone. The third is given their second moments, x'x, summed in the
caller's precision. All arithmetic of the third is in float64: a last bit of a product that differs
between processors then practically never decides how a weight is rounded.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from os import cpu_count
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from export.quantization.blockwise import (
    NUM_CANDIDATES,
    Bytes,
    Float32,
    Quantized,
    on_every_core,
    pack,
    quantize,
    search_scales,
    slices,
)

Array = npt.NDArray[np.floating[Any]]
Moments = npt.NDArray[np.floating[Any]]
"""Sums of x'x over rows x that a matrix multiplies, [columns, columns], or one for each expert."""

_SHRINKINGS: Final = np.linspace(1.0, 0.7, 13, dtype=np.float32)
"""How much of a block's range a candidate with a zero point covers."""

_NUM_REFINEMENTS: Final = 2
_NORM: Final = np.float32(0.7)
_BETA: Final = 10.0
_BETA_GROWTH: Final = 1.05
_NUM_HALF_QUADRATIC_STEPS: Final = 20

_ROWS_SHARE: Final = 4
"""Rows are cut into fewer pieces here than where every temporary is as large as the piece."""

_DAMPING: Final = 0.01
"""This share of the mean second moment is added to each, so that directions that were rarely seen
do not decide."""


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """What a block's values may be: 2^bits steps around the middle or around a zero point.

    `num_candidates` is how many scales are tried for a block without one.
    """

    bits: int
    block_size: int
    has_zero_points: bool = False
    num_candidates: int = NUM_CANDIDATES

    @property
    def middle(self) -> int:
        return int(2 ** (self.bits - 1))

    @property
    def last(self) -> int:
        return int(2**self.bits - 1)


Steps = tuple[Float32, Float32]
"""Scale and zero point of each block, both [num_blocks]; zero points are whole numbers."""

Fit = Callable[[Float32, Grid], Steps]


def nearest(values: Float32, grid: Grid) -> Quantized:
    """Round to nearest, with scale and zero point searched for the least squared error."""
    if grid.has_zero_points:
        return _round_blocks(values, grid, fit_nearest)
    return quantize(
        values,
        bits=grid.bits,
        block_size=grid.block_size,
        num_candidates=grid.num_candidates,
    )


def half_quadratic(values: Float32, grid: Grid) -> Quantized:
    """Round to nearest, with scale and zero point fitted to all but the outliers."""
    return _round_blocks(values, grid, fit_half_quadratic)


def error_feedback(values: Float32, grid: Grid, moments: Moments) -> Quantized:
    """Round column by column, each error made good by the columns not yet rounded.

    `values` is [rows, columns] with `moments` [columns, columns], or both with a number of
    experts in front.
    """
    matrices = values.reshape(-1, *values.shape[-2:])
    each_moments = moments.reshape(-1, *moments.shape[-2:])
    with ThreadPoolExecutor(cpu_count()) as pool:
        parts = list(pool.map(_feed_back, matrices, each_moments, repeat(grid)))
    integers, scales, zeros = (np.stack(part) for part in zip(*parts, strict=True))
    return assembled(grid, values.shape, integers, (scales, zeros))


def fit_nearest(blocks: Float32, grid: Grid) -> Steps:
    """Return the steps of least squared error among candidates, for [num_blocks, block_size]."""
    if not grid.has_zero_points:
        scales = search_scales(blocks, bits=grid.bits, num_candidates=grid.num_candidates)
        return scales, np.full_like(scales, grid.middle)
    low, high = np.minimum(blocks.min(axis=1), 0), np.maximum(blocks.max(axis=1), 0)
    best_scale, best_zero = np.zeros_like(low), np.zeros_like(low)
    best_gain = np.full(len(blocks), -np.inf, np.float32)
    for share in _SHRINKINGS:
        scale = ((high - low) * share / np.float32(grid.last)).astype(np.float32)
        zero = np.clip(np.rint(-low * share * inverse_or_zero(scale)), 0, grid.last)
        for _ in range(_NUM_REFINEMENTS):
            scale, zero, gain = _refitted(blocks, (scale, zero), grid)
            is_better = gain > best_gain
            best_scale = np.where(is_better, scale, best_scale)
            best_zero = np.where(is_better, zero, best_zero)
            best_gain = np.where(is_better, gain, best_gain)
    return best_scale, best_zero


def fit_half_quadratic(blocks: Float32, grid: Grid) -> Steps:
    """Alternate between setting outliers aside and fitting the steps to the rest.

    Starts from the nearest fit and keeps the steps of least sum |e|^0.7 that were seen.
    """
    steps = fit_nearest(blocks, grid)
    best_scale, best_zero = steps
    best_error = _outlier_error(blocks, steps, grid)
    beta = _BETA
    for _ in range(_NUM_HALF_QUADRATIC_STEPS):
        outliers = _outliers(blocks, steps, grid, beta)
        steps = _fitted_to(blocks - outliers, blocks, steps, grid)
        error = _outlier_error(blocks, steps, grid)
        is_better = error < best_error
        best_scale = np.where(is_better, steps[0], best_scale)
        best_zero = np.where(is_better, steps[1], best_zero)
        best_error = np.where(is_better, error, best_error)
        beta *= _BETA_GROWTH
    return best_scale, best_zero


def _round_blocks(values: Float32, grid: Grid, fit: Fit) -> Quantized:
    blocks = values.reshape(-1, grid.block_size)
    integers = np.empty(blocks.shape, np.uint8)
    scales, zeros = np.empty(len(blocks), np.float32), np.empty(len(blocks), np.float32)

    def round_part(part: slice) -> None:
        scales[part], zeros[part] = fit(blocks[part], grid)
        integers[part] = _integers(blocks[part], (scales[part], zeros[part]), grid)

    on_every_core(round_part, slices(len(blocks), grid.block_size))
    return assembled(grid, values.shape, integers, (scales, zeros))


def assembled(grid: Grid, shape: tuple[int, ...], integers: Bytes, steps: Steps) -> Quantized:
    """Return what integers and the steps of their blocks are, packed."""
    scales, zeros = (part.reshape(*shape[:-1], -1) for part in steps)
    packed_zeros = pack(zeros.astype(np.uint8), bits=grid.bits) if grid.has_zero_points else None
    return Quantized(
        bits=grid.bits,
        block_size=grid.block_size,
        data=pack(integers.reshape(shape), bits=grid.bits),
        scales=np.ascontiguousarray(scales, np.float32),
        zero_points=packed_zeros,
    )


def _integers(blocks: Float32, steps: Steps, grid: Grid) -> Float32:
    scale, zero = steps
    nearest_step = np.rint(blocks * inverse_or_zero(scale)[:, None]) + zero[:, None]
    return np.clip(nearest_step, np.float32(0), np.float32(grid.last))


def _refitted(blocks: Float32, steps: Steps, grid: Grid) -> tuple[Float32, Float32, Float32]:
    """Return the scale that is best for a rounding, its zero point, and the error it explains."""
    scale, zero = steps
    distance = _integers(blocks, steps, grid) - zero[:, None]
    product = (blocks * distance).sum(axis=1)
    square = (distance * distance).sum(axis=1)
    fitted = np.divide(product, square, out=scale.copy(), where=square > 0)
    return fitted, zero, product * fitted


def _fitted_to(wanted: Float32, blocks: Float32, steps: Steps, grid: Grid) -> Steps:
    """Fit the steps to `wanted`, given how `blocks` are rounded."""
    scale, zero = steps
    integers = _integers(blocks, steps, grid)
    if grid.has_zero_points:
        shift = (integers - wanted * inverse_or_zero(scale)[:, None]).mean(axis=1)
        zero = np.clip(np.rint(shift), 0, grid.last)
    distance = integers - zero[:, None]
    square = (distance * distance).sum(axis=1)
    product = (wanted * distance).sum(axis=1)
    return np.divide(product, square, out=scale.copy(), where=square > 0), zero


def _error(blocks: Float32, steps: Steps, grid: Grid) -> Float32:
    """Return errors in units of the scale, so that one threshold holds for every block."""
    scale, zero = steps
    distance = _integers(blocks, steps, grid) - zero[:, None]
    return (blocks * inverse_or_zero(scale)[:, None] - distance).astype(np.float32, copy=False)


def _outliers(blocks: Float32, steps: Steps, grid: Grid, beta: float) -> Float32:
    """Shrink errors as the |e|^p norm does: the small ones to nothing, the large ones hardly."""
    error = _error(blocks, steps, grid)
    size = np.abs(error)
    threshold = np.power(np.maximum(size, np.float32(1e-8)), _NORM - 1) / np.float32(beta)
    shrunk = np.sign(error) * np.maximum(size - threshold, 0)
    return (shrunk * steps[0][:, None]).astype(np.float32, copy=False)


def _outlier_error(blocks: Float32, steps: Steps, grid: Grid) -> Float32:
    size = np.abs(_error(blocks, steps, grid) * steps[0][:, None])
    return np.power(size, _NORM).sum(axis=1)


def inverse_or_zero(scale: Float32) -> Float32:
    """Return 1 / scale; 0 for blocks of nothing but zeros."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def _feed_back(values: Float32, moments: Moments, grid: Grid) -> tuple[Bytes, Float32, Float32]:
    """Round one matrix, its rows apart from each other; return integers, scales and zero points."""
    factor = _unit_factor(moments)
    blocks = _blocks_of(factor, grid)
    integers = np.empty(values.shape, np.uint8)
    shape = (len(values), values.shape[1] // grid.block_size)
    scales, zeros = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def round_rows(rows: slice) -> None:
        exact = values[rows].astype(np.float64)
        errors = np.zeros_like(exact)
        for index, block in enumerate(blocks):
            wanted = exact[:, block.columns]
            before = errors[:, : block.columns.start]
            moved = before @ factor[: block.columns.start, block.columns]
            steps = fit_nearest((wanted + moved @ block.inverse).astype(np.float32), grid)
            scales[rows, index], zeros[rows, index] = steps
            rounded, errors[:, block.columns] = _feed_back_block(wanted, moved, block, steps, grid)
            integers[rows, block.columns] = rounded

    on_every_core(round_rows, slices(len(values), values.shape[1] // _ROWS_SHARE))
    return integers, scales, zeros


class _Block(msgspec.Struct, frozen=True):
    """Columns that share a scale: their part of the factor, [size, size], and its inverse."""

    columns: slice
    factor: Array
    inverse: Array


def _blocks_of(factor: Array, grid: Grid) -> list[_Block]:
    starts = range(0, len(factor), grid.block_size)
    columns = [slice(start, start + grid.block_size) for start in starts]
    return [_Block(part, factor[part, part], np.linalg.inv(factor[part, part])) for part in columns]


def _feed_back_block(
    wanted: Array, moved: Array, block: _Block, steps: Steps, grid: Grid
) -> tuple[Array, Array]:
    """Round the columns of a block in turn; return integers, and how far each was moved."""
    scale, zero = (part.astype(np.float64) for part in steps)
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
    exact, rest = (part.T.copy() for part in (wanted, wanted + moved))  # a column is a row
    integers, errors = np.empty_like(rest), np.empty_like(rest)
    for column in range(len(rest)):
        found = rest[column] + block.factor[:column, column] @ errors[:column]
        integers[column] = np.clip(np.rint(found * inverse) + zero, 0, grid.last)
        errors[column] = exact[column] - (integers[column] - zero) * scale
    return integers.T, errors.T


def _unit_factor(moments: Moments) -> Array:
    """Return the upper triangular U of ones on the diagonal with moments + damping = U D U'.

    GPTQ is usually written with the inverse of the moments. That a column j is moved by its
    predecessors' errors times U[:, j] is the same, and needs no inverse (QuIP, arXiv:2307.13304,
    theorem 6): U comes from Cholesky's factor of the moments read backwards.
    """
    size = np.mean(np.diagonal(moments), dtype=np.float64)
    damped = moments.astype(np.float64)
    damped[np.diag_indices(len(damped))] += _DAMPING * size if size > 0 else 1.0
    factor = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    return factor / np.diagonal(factor)
