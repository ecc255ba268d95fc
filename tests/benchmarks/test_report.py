"""report: what a benchmark says of its samples."""

import pytest

from benchmarks.report import summary


def check(samples: list[float], **expected: float) -> None:
    found = summary(samples)
    assert {name: found.get(name) for name in expected} == expected


def test_of_few_samples_the_largest_is_told_as_what_it_is() -> None:
    check([3.0, 1.0, 2.0, 9.0, 2.0], median=2.0, max=9.0, spread=1.0, count=5)


@pytest.mark.parametrize(("count", "p95"), [(2, None), (99, None), (100, 95.0), (200, 190.0)])
def test_a_percentile_is_told_where_there_are_samples_for_it(count: int, p95: float | None) -> None:
    check([float(number) for number in range(count, 0, -1)], p95=p95, count=count)


def test_one_sample_is_told() -> None:
    check([4.0], median=4.0, max=4.0, spread=0.0, count=1)
