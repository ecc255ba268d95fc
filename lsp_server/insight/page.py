"""Write statistics as one page of HTML that needs nothing else: no script, no font, no network."""

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Final

from lsp_server.insight.charts import bars, columns, pairs
from lsp_server.insight.explain import ORIGINS, reason
from lsp_server.insight.records import SHOWN
from lsp_server.insight.stats import Statistics, Suggested

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2733; --paper: #ffffff; --faint: #d4dae1;
  --first: #1f6feb; --second: #a8c7fa; --soft: #5b6875; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --paper: #12171d; --faint: #323b45;
  --first: #79b0ff; --second: #2c4a75; --soft: #9aa7b4; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 0.6rem; }
p { color: var(--soft); margin: 0.2rem 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; }
dt { color: var(--soft); font-size: 0.85rem; } dd { margin: 0; font-size: 1.6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.3rem 0.5rem; border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .first { fill: var(--first); } svg .second { fill: var(--second); }
svg .faint { stroke: var(--faint); }
"""

SHOWN_DAYS: Final = 60
"""So many days fit side by side."""


def page(statistics: Statistics) -> str:
    """Return the page as a text."""
    total = statistics.total
    days = dict(list(statistics.by_day.items())[-SHOWN_DAYS:])
    silences = {
        reason(name): float(count) for name, count in statistics.outcomes.items() if name != SHOWN
    }
    origins = {ORIGINS.get(name, name): float(count) for name, count in statistics.origins.items()}
    spreads = {name: (spread.p50, spread.p95) for name, spread in statistics.latency.items()}
    sections = [
        ("Shown and accepted, day by day", columns("Suggestions by day", _taken(days), TAKEN)),
        ("How long an answer took, in ms", pairs("Latency by stage", spreads, PERCENTILES)),
        ("Who knew the text", bars("Origin of what was shown", origins)),
        ("Why there was none", bars("Requests without a suggestion", silences)),
        ("Languages", _table(statistics.by_language)),
        ("Models", _table(statistics.by_model)),
    ]
    body = "".join(f"<h2>{escape(title)}</h2>{content}" for title, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Inkling: statistics</title><style>{STYLE}</style></head><body>"
        f"<h1>Inkling</h1><p>{escape(_span(statistics))}</p>{_figures(total)}{body}"
        "<p>Counted from the journal on this machine. Nothing was sent anywhere.</p>"
        "</body></html>\n"
    )


TAKEN: Final = ("accepted, all or part", "shown")
PERCENTILES: Final = ("half of them within", "95 % within")


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _taken(groups: Mapping[str, Suggested]) -> dict[str, tuple[float, float]]:
    return {name: (float(s.accepted + s.partly), float(s.shown)) for name, s in groups.items()}


def _span(statistics: Statistics) -> str:
    if statistics.since is None or statistics.until is None:
        return "Nothing has been recorded yet."
    first, last = (
        datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d")
        for time in (statistics.since, statistics.until)
    )
    return f"{statistics.requests:,} requests from {first} to {last}"


def _figures(total: Suggested) -> str:
    figures = {
        "shown": f"{total.shown:,}",
        "accepted, all or part": f"{total.accepted + total.partly:,}",
        "accepted of shown": percent(total.accept_rate),
        "of those that stood 0.3 s": percent(total.accept_rate_stood),
        "characters accepted": f"{total.characters_accepted:,}",
        "kept after 30 s": percent(total.kept_30s),
        "kept after 5 min": percent(total.kept_5min),
    }
    items = (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items())
    return f"<dl>{''.join(items)}</dl>"


def _table(groups: Mapping[str, Suggested]) -> str:
    head = ("", "shown", "accepted", "rate", "characters", "kept 30 s", "kept 5 min")
    rows = [
        (
            name,
            f"{s.shown:,}",
            f"{s.accepted + s.partly:,}",
            percent(s.accept_rate),
            f"{s.characters_accepted:,}",
            percent(s.kept_30s),
            percent(s.kept_5min),
        )
        for name, s in groups.items()
    ]
    cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    heads = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><tr>{heads}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
