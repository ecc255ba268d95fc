"""rounding: every method stays on its grid, and each is better at what it is for."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.quantization.blockwise import Quantized, dequantize, quantize
from export.quantization.rounding import (
    Grid,
    Moments,
    error_feedback,
    half_quadratic,
    nearest,
)
from export.quantization.weighted import weighted

Float32 = npt.NDArray[np.float32]

GRIDS = st.builds(
    Grid,
    bits=st.sampled_from([4, 8]),
    block_size=st.sampled_from([32, 64, 128]),
    has_zero_points=st.booleans(),
)
METHODS = {
    "nearest": nearest,
    "half_quadratic": half_quadratic,
    "error_feedback": lambda values, grid: error_feedback(values, grid, moments_of(values)),
    "weighted": lambda values, grid: weighted(values, grid, np.diagonal(moments_of(values))),
}
every_method = pytest.mark.parametrize("method", METHODS)


@st.composite
def weights(draw: st.DrawFn) -> Float32:
    """Matrices of many sizes and shifts, zeros and outliers among them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = random.standard_normal((draw(st.integers(1, 6)), 128)) ** draw(st.sampled_from([1, 3]))
    values = (values + draw(st.floats(-2, 2))) * (
        random.random(values.shape) < draw(st.floats(0, 1))
    )
    return (values * draw(st.floats(1e-4, 1e4))).astype(np.float32)


def moments_of(values: Float32, *, num_rows: int = 300) -> Moments:
    """Return moments of rows whose columns go together, as a model's do."""
    random = np.random.default_rng(1)
    columns = values.shape[-1]
    mixing = random.standard_normal((columns // 4, columns))
    rows = random.standard_normal((num_rows, columns // 4)) @ mixing
    rows += 0.1 * random.standard_normal(rows.shape)
    return rows.T @ rows


def squared_error(values: Float32, rounded: Quantized) -> float:
    return float(np.sum((dequantize(rounded).astype(np.float64) - values) ** 2))


def product_error(values: Float32, rounded: Quantized, moments: Moments) -> float:
    """Return the squared error of the products with the rows that the moments are of."""
    difference = dequantize(rounded).astype(np.float64) - values
    return float(np.einsum("ri,ij,rj->", difference, moments, difference))


@every_method
@settings(deadline=None, max_examples=25)
@given(values=weights(), grid=GRIDS)
def test_the_shape_and_the_grid_are_kept(method: str, values: Float32, grid: Grid) -> None:
    rounded = METHODS[method](values, grid)
    assert rounded.shape == values.shape
    assert (rounded.bits, rounded.block_size) == (grid.bits, grid.block_size)
    assert (rounded.zero_points is not None) == grid.has_zero_points
    assert np.isfinite(dequantize(rounded)).all()


@every_method
@settings(deadline=None, max_examples=25)
@given(values=weights(), bits=st.sampled_from([4, 8]))
def test_what_is_on_the_grid_stays_there(method: str, values: Float32, bits: int) -> None:
    """Weights trained for these steps lose next to nothing, whatever rounds them."""
    grid = Grid(bits=bits, block_size=128)
    on_grid = dequantize(nearest(values, grid))
    again = METHODS[method](on_grid, grid)
    largest = float(np.abs(on_grid).max(initial=0))
    assert (
        squared_error(on_grid, again)
        <= 0.02 * squared_error(values, nearest(values, grid))
        + (1e-6 * largest) ** 2 * on_grid.size
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("block_size", [32, 64, 128])
def test_zero_points_help_where_values_lie_on_one_side(seed: int, block_size: int) -> None:
    """Half of the steps of a grid around zero would be wasted on them."""
    values = np.random.default_rng(seed).uniform(0.5, 1.0, (16, 256)).astype(np.float32)
    without = nearest(values, Grid(bits=4, block_size=block_size))
    with_zero_points = nearest(values, Grid(bits=4, block_size=block_size, has_zero_points=True))
    assert squared_error(values, with_zero_points) < 0.9 * squared_error(values, without)


@settings(deadline=None, max_examples=50)
@given(values=weights(), has_zero_points=st.booleans())
def test_half_quadratic_forgives_outliers(values: Float32, has_zero_points: bool) -> None:
    grid = Grid(bits=4, block_size=64, has_zero_points=has_zero_points)

    def error(rounded: Quantized) -> float:
        return float(np.sum(np.abs(dequantize(rounded).astype(np.float64) - values) ** 0.7))

    size = float(np.sum(np.abs(values.astype(np.float64)) ** 0.7))
    assert error(half_quadratic(values, grid)) <= error(nearest(values, grid)) + 1e-3 * size


@pytest.mark.parametrize("has_zero_points", [False, True])
@pytest.mark.parametrize("block_size", [32, 64, 128])
def test_error_feedback_halves_the_error_of_products(
    block_size: int, has_zero_points: bool
) -> None:
    values = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    grid = Grid(bits=4, block_size=block_size, has_zero_points=has_zero_points)
    moments = moments_of(values)
    plain = product_error(values, nearest(values, grid), moments)
    assert product_error(values, error_feedback(values, grid, moments), moments) < 0.5 * plain


def test_without_moments_error_feedback_rounds_to_nearest() -> None:
    """An expert that the calibration text never reaches."""
    values = np.random.default_rng(0).standard_normal((8, 128)).astype(np.float32)
    grid = Grid(bits=4, block_size=32)
    rounded = error_feedback(values, grid, np.zeros((128, 128)))
    expected = quantize(values, bits=4, block_size=32)
    np.testing.assert_array_equal(rounded.data, expected.data)
    np.testing.assert_array_equal(rounded.scales, expected.scales)


def test_experts_know_nothing_of_each_other() -> None:
    random = np.random.default_rng(2)
    values = random.standard_normal((3, 16, 128)).astype(np.float32)
    moments = np.stack([moments_of(part) * (index + 1) for index, part in enumerate(values)])
    moments[1] = np.diag(np.arange(1.0, 129.0))
    grid = Grid(bits=4, block_size=32, has_zero_points=True)
    together = error_feedback(values, grid, moments)
    for index in range(3):
        alone = error_feedback(values[index], grid, moments[index])
        np.testing.assert_array_equal(together.data[index], alone.data)
        assert together.zero_points is not None
        assert alone.zero_points is not None
        np.testing.assert_array_equal(together.zero_points[index], alone.zero_points)


def test_an_odd_number_of_zero_points_is_filled_up() -> None:
    values = np.random.default_rng(3).standard_normal((2, 96)).astype(np.float32) + 1
    rounded = nearest(values, Grid(bits=4, block_size=32, has_zero_points=True))
    assert rounded.zero_points is not None
    assert rounded.zero_points.shape == (2, 2)
    assert squared_error(values, rounded) < 0.02 * float(np.sum(values**2))
