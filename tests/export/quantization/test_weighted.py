"""weighted: errors are made where they cost least."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.quantization.blockwise import dequantize
from export.quantization.rounding import Grid, nearest
from export.quantization.weighted import weighted

Float32 = npt.NDArray[np.float32]
every_grid = pytest.mark.parametrize("has_zero_points", [False, True])


def grid_of(*, has_zero_points: bool = False, num_candidates: int = 20) -> Grid:
    return Grid(
        bits=4, block_size=32, has_zero_points=has_zero_points, num_candidates=num_candidates
    )


def random_matrix(*shape: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def weighted_error(values: Float32, grid: Grid, importance: Float32, sizes: Float32) -> float:
    """Return the squared error, weighed by `sizes`, of what is rounded with `importance`."""
    moved = dequantize(weighted(values, grid, importance)) - values
    return float((moved.astype(np.float64) ** 2 * sizes).sum())


@every_grid
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), spread=st.floats(0.5, 4))
def test_it_makes_less_of_the_error_that_it_weighs(
    seed: int, spread: float, has_zero_points: bool
) -> None:
    """Rounded with the importance of its columns, a matrix loses less of what it is used for."""
    random = np.random.default_rng(seed)
    values, sizes = random_matrix(64, 64, seed=seed), np.exp(spread * random.standard_normal(64))
    grid, squares = grid_of(has_zero_points=has_zero_points), (sizes**2).astype(np.float32)
    alike = np.ones_like(squares)
    found = weighted_error(values, grid, squares, sizes)
    assert found <= weighted_error(values, grid, alike, sizes) * 1.001


@every_grid
def test_a_column_that_alone_is_used_is_kept(has_zero_points: bool) -> None:
    values, squares = random_matrix(50, 32), np.zeros(32, np.float32)
    squares[5] = 1
    grid = grid_of(has_zero_points=has_zero_points)
    moved = np.abs(dequantize(weighted(values, grid, squares)) - values)
    before = np.abs(dequantize(nearest(values, grid)) - values)
    assert moved[:, 5].mean() < before[:, 5].mean() / 3
    assert moved.max() < 3  # and no other becomes anything


@every_grid
def test_columns_that_are_used_alike_are_rounded_as_to_nearest(has_zero_points: bool) -> None:
    values, grid = random_matrix(200, 64), grid_of(has_zero_points=has_zero_points)
    error = weighted_error(values, grid, np.full(64, 7, np.float32), np.ones(64, np.float32))
    other = float(((dequantize(nearest(values, grid)) - values) ** 2).sum())
    assert error == pytest.approx(other, rel=0.03)


@every_grid
def test_zeros_stay_zeros(has_zero_points: bool) -> None:
    values = np.zeros((3, 64), np.float32)
    grid = grid_of(has_zero_points=has_zero_points)
    found = dequantize(weighted(values, grid, np.ones(64, np.float32)))
    np.testing.assert_array_equal(found, values)


@every_grid
def test_experts_have_importance_of_their_own(has_zero_points: bool) -> None:
    """Also one that the text never reached: its columns count alike."""
    values, grid = random_matrix(3, 8, 64), grid_of(has_zero_points=has_zero_points)
    squares = np.abs(random_matrix(3, 64, seed=1))
    squares[2] = 0
    found = weighted(values, grid, squares)
    assert found.shape == values.shape
    for index, (matrix, one) in enumerate(zip(values, squares, strict=True)):
        alone = weighted(matrix, grid, np.ones_like(one) if index == 2 else one)
        np.testing.assert_array_equal(found.data[index], alone.data)
        np.testing.assert_array_equal(found.scales[index], alone.scales)


def test_more_candidates_lose_no_more() -> None:
    values, squares = random_matrix(100, 64), np.abs(random_matrix(64, seed=2))
    few, many = (
        weighted_error(values, grid_of(num_candidates=count), squares, np.sqrt(squares))
        for count in (8, 20)
    )
    assert many <= few * 1.001
    assert few <= many * 1.02
