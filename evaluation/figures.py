"""Turn records, one a hole or a problem, into figures; and two runs into differences.

Pure. A record is an object whose numeric attributes are named by the figures. What each figure
means and where its definition comes from stands in docs/evaluation.md.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import msgspec
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Columns = Mapping[str, FloatArray]
"""The values of each field, [..., num_records]."""

NUM_RESAMPLES: Final = 2_000
CONFIDENCE_PERCENT: Final = 95
MIN_RECORDS_BEYOND: Final = 5
"""A percentile needs so many records on either side; with fewer it is nearly the largest one."""


class Ratio(msgspec.Struct, frozen=True):
    """The sum of one field over the sum of another, or over the number of records."""

    name: str
    heading: str
    numerator: str
    denominator: str | None = None
    is_share: bool = True


class Percentile(msgspec.Struct, frozen=True):
    """Not known of few records, but for the median, which is one of any number."""

    name: str
    heading: str
    field: str
    percent: int


Figure = Ratio | Percentile


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Second minus first, with its interval; None where either run has no such figure."""

    difference: float | None
    low: float | None
    high: float | None


def figures_of(records: Sequence[object], figures: Sequence[Figure]) -> dict[str, float | None]:
    """Return each figure by name; None where there is nothing to count."""
    columns = _columns(records, figures)
    return {figure.name: _or_none(_value(figure, columns)) for figure in figures}


def differences(
    first: Sequence[object],
    second: Sequence[object],
    figures: Sequence[Figure],
    *,
    seed: int,
) -> dict[str, Difference]:
    """Return how the figures of two runs over the same holes differ, each with its interval.

    A paired percentile bootstrap: holes are drawn with replacement, and of each drawn hole both
    runs' records count (Efron and Tibshirani 1993, chapter 13; Koehn 2004 for pairs).
    """
    assert len(first) == len(second) > 0
    rows = np.random.default_rng(seed).integers(len(first), size=(NUM_RESAMPLES, len(first)))
    columns = [_columns(records, figures) for records in (first, second)]
    drawn = [{name: values[rows] for name, values in held.items()} for held in columns]
    return {
        figure.name: _difference(
            _value(figure, columns[1]) - _value(figure, columns[0]),
            _value(figure, drawn[1]) - _value(figure, drawn[0]),
        )
        for figure in figures
    }


def _difference(value: FloatArray, resampled: FloatArray) -> Difference:
    margin = (100 - CONFIDENCE_PERCENT) / 2
    known = resampled[~np.isnan(resampled)]
    low, high = np.percentile(known, [margin, 100 - margin]) if known.size else (np.nan, np.nan)
    return Difference(difference=_or_none(value), low=_or_none(low), high=_or_none(high))


def _columns(records: Sequence[object], figures: Sequence[Figure]) -> Columns:
    names = {name for figure in figures for name in _fields(figure)}
    return {name: np.array([float(getattr(record, name)) for record in records]) for name in names}


def _fields(figure: Figure) -> tuple[str, ...]:
    match figure:
        case Ratio():
            return (figure.numerator, figure.denominator or figure.numerator)
        case Percentile():
            return (figure.field,)
        case _:
            assert_never(figure)


def _value(figure: Figure, columns: Columns) -> FloatArray:  # [...], not a number where 0 / 0
    match figure:
        case Ratio():
            counted = columns[figure.numerator]
            if figure.denominator is None:
                return counted.mean(axis=-1)
            with np.errstate(invalid="ignore"):
                return counted.sum(axis=-1) / columns[figure.denominator].sum(axis=-1)
        case Percentile():
            counted = columns[figure.field]
            value = np.percentile(counted, figure.percent, axis=-1)
            is_known = counted.shape[-1] >= _fewest_records(figure)
            return value if is_known else np.full_like(value, np.nan)
        case _:
            assert_never(figure)


def _fewest_records(figure: Percentile) -> int:
    share_beyond = min(figure.percent, 100 - figure.percent) / 100
    return 1 if figure.percent == 50 else round(MIN_RECORDS_BEYOND / share_beyond)


def _or_none(value: FloatArray | np.float64 | float) -> float | None:
    return None if np.isnan(value) else float(value)
