"""Curves of what was measured. matplotlib is imported only when one is asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

SIZE: Final = (7, 3.2)

Curve = tuple[Sequence[float], Sequence[float]]
"""Where its points lie, across and up."""


def draw_curves(
    path: Path, curves: Mapping[str, Curve], *, across: str, up: str, is_log: bool = False
) -> None:
    """Draw curves by name into one picture, from zero up."""
    from matplotlib.figure import Figure

    canvas: Any = Figure(figsize=SIZE, layout="constrained")
    chart = canvas.subplots()
    for name, (places, heights) in curves.items():
        chart.plot(places, heights, label=name)
    chart.set(xlabel=across, ylabel=up, ylim=(0, None), xscale="log" if is_log else "linear")
    chart.grid(alpha=0.3)
    if len(curves) > 1:
        chart.legend()
    canvas.savefig(path)


def shares_below(samples: Sequence[float]) -> Curve:
    """Return each sample, in order, and the percentage of samples that are no larger."""
    ordered = sorted(samples)
    return ordered, [100 * (index + 1) / len(ordered) for index in range(len(ordered))]
