"""What every benchmark prints at its end: a table for people, one JSON object for scripts."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

Figures = Mapping[str, float]


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Return median, quartile spread and 95th percentile, in the unit of the samples."""
    ordered = sorted(samples)
    quartiles = statistics.quantiles(ordered, n=4, method="inclusive")
    return {
        "median": round(statistics.median(ordered), 4),
        "spread": round(quartiles[2] - quartiles[0], 4),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 4),
        "count": len(ordered),
    }


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
