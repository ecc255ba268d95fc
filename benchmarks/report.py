"""What every benchmark prints at its end: a table for people, one JSON object for scripts."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from rich.console import Console
from rich.table import Table

Figures = Mapping[str, float]

MIN_SAMPLES_OF_P95: Final = 100
"""Of few samples the 95th percentile is the largest, or nearly so, by another name."""


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Return median, quartile spread and largest, in the unit of the samples.

    The 95th percentile (nearest rank) is there where samples are many enough to have one.
    """
    ordered, count = sorted(samples), len(samples)
    spread = 0.0
    if count > 1:
        first, _, third = statistics.quantiles(ordered, n=4, method="inclusive")
        spread = third - first
    figures = {
        "median": statistics.median(ordered),
        "spread": spread,
        "max": ordered[-1],
    }
    if count >= MIN_SAMPLES_OF_P95:
        figures["p95"] = ordered[ceil(0.95 * count) - 1]
    return {**{name: round(value, 4) for name, value in figures.items()}, "count": count}


def print_report(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    table = Table(title=title)
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console().print(table)


def print_json(benchmark: str, figures: Mapping[str, object]) -> None:
    """Print the last line: the figures and the machine they hold for."""
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
    print(json.dumps({"benchmark": benchmark, "machine": machine, **figures}))
