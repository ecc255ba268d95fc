"""From records to figures, and from two runs to differences."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.figures import Figure, Percentile, Ratio, differences, figures_of


class Sample(msgspec.Struct):
    right: bool = False
    counts: bool = True
    bits: float = 0.0
    num_bytes: int = 1
    ms: float = 0.0


SHARE = Ratio("share", "share", "right")
SHARE_OF_SOME = Ratio("share", "share", "right", "counts")
RATIO = Ratio("ratio", "ratio", "bits", "num_bytes", is_share=False)
MEDIAN = Percentile("median", "median", "ms", 50)
P95 = Percentile("p95", "p95", "ms", 95)


def check(figure: Figure, records: list[Sample], value: float | None) -> None:
    assert figures_of(records, [figure]) == {figure.name: pytest.approx(value)}


def test_a_share_is_of_all() -> None:
    check(SHARE, [Sample(right=True), Sample(), Sample(), Sample()], 0.25)


def test_a_share_may_be_of_some() -> None:
    records = [Sample(right=True), Sample(), Sample(counts=False), Sample(counts=False)]
    check(SHARE_OF_SOME, records, 0.5)


def test_a_share_of_none_is_unknown() -> None:
    check(SHARE_OF_SOME, [Sample(counts=False)], None)


def test_a_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    check(RATIO, [Sample(bits=1, num_bytes=1), Sample(bits=1, num_bytes=9)], 0.2)


def test_a_median_lies_between() -> None:
    check(MEDIAN, [Sample(ms=1), Sample(ms=2), Sample(ms=10)], 2)


@pytest.mark.parametrize(("count", "value"), [(1, None), (99, None), (101, 95)])
def test_a_percentile_is_that_of_many(count: int, value: float | None) -> None:
    check(P95, [Sample(ms=number) for number in range(count)], value)


def test_a_percentile_of_few_does_not_differ() -> None:
    records = [Sample(ms=number) for number in range(99)]
    found = differences(records, records, [P95], seed=0)["p95"]
    assert (found.difference, found.low, found.high) == (None, None, None)


def test_a_run_does_not_differ_from_itself() -> None:
    records = [Sample(right=index % 3 == 0, ms=index) for index in range(30)]
    for found in differences(records, records, [SHARE, MEDIAN], seed=0).values():
        assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_the_same_difference_everywhere_is_certain() -> None:
    """What is paired does not care how different the holes are among themselves."""
    first = [Sample(ms=index**2) for index in range(50)]
    second = [Sample(ms=index**2 + 3) for index in range(50)]
    found = differences(first, second, [MEDIAN], seed=0)["median"]
    assert (found.difference, found.low, found.high) == (3, 3, 3)


def test_what_a_run_does_not_know_does_not_differ() -> None:
    records = [Sample(counts=False)] * 3
    found = differences(records, records, [SHARE_OF_SOME], seed=0)["share"]
    assert (found.difference, found.low, found.high) == (None, None, None)


def test_the_interval_is_about_that_of_theory() -> None:
    """The standard error of a mean of n paired differences is their deviation / sqrt(n)."""
    random = np.random.default_rng(7)
    noise = random.normal(0.5, 1.0, 400)
    first = [Sample() for _ in noise]
    second = [Sample(bits=float(value)) for value in noise]
    found = differences(first, second, [Ratio("mean", "mean", "bits")], seed=0)["mean"]
    assert found.low is not None
    assert found.high is not None
    expected = 1.96 * noise.std() / np.sqrt(len(noise))
    assert found.low == pytest.approx(noise.mean() - expected, abs=0.02)
    assert found.high == pytest.approx(noise.mean() + expected, abs=0.02)


BITS = st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=1, max_size=20)


@given(BITS, st.integers(0, 9))
def test_turned_round_it_is_the_negative(bits: list[tuple[float, float]], seed: int) -> None:
    first = [Sample(bits=value) for value, _ in bits]
    second = [Sample(bits=value) for _, value in bits]
    there = differences(first, second, [RATIO], seed=seed)["ratio"]
    back = differences(second, first, [RATIO], seed=seed)["ratio"]
    assert there.difference == pytest.approx(-(back.difference or 0.0))
    assert there.low == pytest.approx(-(back.high or 0.0))


@given(BITS, st.integers(0, 9))
def test_a_seed_gives_the_same_interval(bits: list[tuple[float, float]], seed: int) -> None:
    first = [Sample(bits=value) for value, _ in bits]
    second = [Sample(bits=value) for _, value in bits]
    assert differences(first, second, [RATIO], seed=seed) == differences(
        first, second, [RATIO], seed=seed
    )
