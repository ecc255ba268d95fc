"""Draw a report: one small chart a figure, in it one bar a kind of hole and model.

matplotlib is an extra and is imported only here, and only when a picture is asked for.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from evaluation.figures import Figure
from evaluation.report import ALL, Row, shown
from inference.errors import EvaluationError, InvalidRequestError

COLORS: Final = ("#3b6ea5", "#d98c3f")
FORMATS: Final = (".png", ".svg", ".pdf")
CHARTS_IN_A_ROW: Final = 4


def check_can_plot(path: Path) -> None:
    """Raise, before anything is measured, EvaluationError or InvalidRequestError."""
    if path.suffix not in FORMATS:
        raise InvalidRequestError(f"cannot draw {path}; end its name in {', '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise InvalidRequestError(f"cannot draw {path}; make its folder first")
    if importlib.util.find_spec("matplotlib") is None:
        raise EvaluationError("matplotlib is not installed; run pip install 'inkling-lsp[plot]'")


def plot(
    path: Path, models: Sequence[tuple[str, Sequence[Row]]], figures: Sequence[Figure]
) -> None:
    """Draw the rows over all languages of one model or two, and write the picture to `path`."""
    from matplotlib.figure import Figure as Canvas

    num_rows = -(-len(figures) // CHARTS_IN_A_ROW)
    canvas: Any = Canvas(figsize=(4 * CHARTS_IN_A_ROW, 3.2 * num_rows), layout="constrained")
    charts = canvas.subplots(num_rows, CHARTS_IN_A_ROW, squeeze=False).flatten().tolist()
    for chart, figure in zip(charts, figures, strict=False):
        _draw(chart, models, figure)
    for chart in charts[len(figures) :]:
        chart.set_axis_off()
    canvas.legend(
        handles=charts[0].containers, labels=[name for name, _ in models], loc="outside upper left"
    )
    canvas.savefig(path)


def _draw(  # matplotlib's own types are partly unknown
    chart: Any,  # noqa: ANN401
    models: Sequence[tuple[str, Sequence[Row]]],
    figure: Figure,
) -> None:
    width = 0.8 / len(models)
    first_place = -0.4 + width / 2
    for number, (_, rows) in enumerate(models):
        drawn = [row for row in rows if row.language == ALL]
        heights = [shown(figure, row.figures[figure.name] or 0.0) for row in drawn]
        places = [first_place + place + number * width for place in range(len(drawn))]
        chart.bar(places, heights, width, color=COLORS[number])
        chart.set_xticks(range(len(drawn)), [row.kind for row in drawn], rotation=30)
    chart.set_ylim(bottom=0)
    chart.set_title(figure.heading.replace("\n", " "))
