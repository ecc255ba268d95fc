"""rope: angles grow with the position; scalings change them as their papers say."""

import numpy as np

from export.spec.rope import FastestPairs, Rope, Yarn, rope_tables

YARN = Yarn(
    factor=4.0,
    original_max_position_embeddings=64,
    beta_fast=32.0,
    beta_slow=1.0,
    attention_factor=1.5,
    truncate=True,
)


def test_position_zero_is_not_rotated() -> None:
    cosines, sines = rope_tables(Rope(theta=10000.0), 16, 4)
    np.testing.assert_array_equal(cosines[0], np.ones(8))
    np.testing.assert_array_equal(sines[0], np.zeros(8))


def test_the_first_pair_turns_by_one_radian_a_token() -> None:
    cosines, sines = rope_tables(Rope(theta=10000.0), 16, 4)
    np.testing.assert_allclose(cosines[:, 0], np.cos(np.arange(4)), atol=1e-7)
    np.testing.assert_allclose(sines[:, 0], np.sin(np.arange(4)), atol=1e-7)


def test_yarn_slows_the_slowest_pair_by_its_factor() -> None:
    cosines, _ = rope_tables(Rope(theta=10000.0, scaling=YARN), 16, 4)
    slowest = 10000.0 ** -(14 / 16) / 4
    np.testing.assert_allclose(cosines[:, -1], 1.5 * np.cos(np.arange(4) * slowest), atol=1e-7)


def test_yarn_lengthens_all() -> None:
    cosines, sines = rope_tables(Rope(theta=10000.0, scaling=YARN), 16, 4)
    np.testing.assert_allclose(cosines**2 + sines**2, 1.5**2)


def test_slow_pairs_stand_where_only_the_fastest_turn() -> None:
    plain = rope_tables(Rope(theta=10000.0), 16, 4)
    cosines, sines = rope_tables(Rope(theta=10000.0, scaling=FastestPairs(share=0.25)), 16, 4)
    np.testing.assert_array_equal(cosines[:, :2], plain[0][:, :2])
    np.testing.assert_array_equal(cosines[:, 2:], np.ones((4, 6)))
    np.testing.assert_array_equal(sines[:, 2:], np.zeros((4, 6)))
