"""Draw plain charts as SVG, which takes its colours from the page around it.

Pure. Each function returns one `<svg>` with a title for those who cannot see it. Colours are CSS
variables (--ink, --faint, --first, --second), so light and dark are the page's business.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 640
ROW: Final = 26
BAR_ROW: Final = 42
LABEL: Final = 190
VALUE: Final = 110
PLOT_HEIGHT: Final = 220
MARGIN: Final = 44


def bars(title: str, values: Mapping[str, float]) -> str:
    """Draw a bar for each name, which may be a sentence: it stands above, the value at the end."""
    largest, room = max(values.values(), default=0.0) or 1.0, WIDTH - VALUE
    rows = [
        _text(0, BAR_ROW * index + 14, name)
        + _rect(0, BAR_ROW * index + 20, room * (value / largest), BAR_ROW - 28, "first")
        + _text(room * (value / largest) + 8, BAR_ROW * index + 31, _number(value))
        for index, (name, value) in enumerate(values.items())
    ]
    return _svg(title, BAR_ROW * max(1, len(values)), rows or [_text(0, 14, "nothing yet")])


def pairs(title: str, values: Mapping[str, tuple[float, float]], names: tuple[str, str]) -> str:
    """Draw two bars for each name, the longer one faint behind the other."""
    largest = max((max(both) for both in values.values()), default=0.0) or 1.0
    room = WIDTH - LABEL - VALUE
    rows = [
        _text(LABEL - 10, ROW * index + 17, name, anchor="end")
        + _rect(LABEL, ROW * index + 4, room * (second / largest), ROW - 8, "second")
        + _rect(LABEL, ROW * index + 4, room * (first / largest), ROW - 8, "first")
        + _text(
            LABEL + room * (max(first, second) / largest) + 8,
            ROW * index + 17,
            f"{_number(first)} / {_number(second)}",
        )
        for index, (name, (first, second)) in enumerate(values.items())
    ]
    height = ROW * max(1, len(values))
    return _svg(title, height + ROW, [*rows, _legend(height + 17, names)])


def columns(title: str, values: Mapping[str, tuple[float, float]], names: tuple[str, str]) -> str:
    """Draw a column for each name in the order given, the longer one faint behind the other."""
    largest = max((max(both) for both in values.values()), default=0.0) or 1.0
    step = (WIDTH - MARGIN) / max(1, len(values))
    parts = [_grid(largest)]
    for index, (first, second) in enumerate(values.values()):
        left = MARGIN + index * step + step * 0.15
        for value, kind in ((second, "second"), (first, "first")):
            height = PLOT_HEIGHT * (value / largest)
            parts.append(_rect(left, 10 + PLOT_HEIGHT - height, step * 0.7, height, kind))
    parts += _dates(list(values), step)
    bottom = PLOT_HEIGHT + 34
    return _svg(title, bottom + ROW, [*parts, _legend(bottom + 17, names)])


def _grid(largest: float) -> str:
    lines = list[str]()
    for part in (0.0, 0.5, 1.0):
        y = 10 + PLOT_HEIGHT * (1 - part)
        lines.append(f'<line x1="{MARGIN}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="faint"/>')
        lines.append(_text(MARGIN - 8, y + 5, _number(largest * part), anchor="end"))
    return "".join(lines)


def _dates(names: Sequence[str], step: float) -> list[str]:
    """Name the first column, the last, and as many between as do not touch."""
    every = max(1, -(-len(names) * 90 // (WIDTH - MARGIN)))
    return [
        _text(MARGIN + (index + 0.5) * step, PLOT_HEIGHT + 28, name, anchor="middle")
        for index, name in enumerate(names)
        if index % every == 0
    ]


def _legend(y: float, names: tuple[str, str]) -> str:
    first, second = names
    return (
        _rect(MARGIN, y - 10, 12, 12, "first")
        + _text(MARGIN + 18, y, first)
        + _rect(WIDTH / 2, y - 10, 12, 12, "second")
        + _text(WIDTH / 2 + 18, y, second)
    )


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" '
        f'height="{max(0.0, height):.1f}" rx="2" class="{kind}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
