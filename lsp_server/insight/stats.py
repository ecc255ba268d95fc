"""Count what the journal holds: how much was shown, accepted and kept, how fast, and why not.

Pure. Of several records of one suggestion the best counts: accepted over partly over rejected.
Rates and shares go from 0 to 1 and are None where nothing was there to divide by. Times are
milliseconds.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from lsp_server.insight.explain import stages
from lsp_server.insight.records import (
    SHOWN,
    Accepted,
    Event,
    Kept,
    Learned,
    PartlyAccepted,
    Record,
    Rejected,
    RequestRecord,
    Shown,
)

STOOD_MS: Final = 300.0
"""What was on the screen for less can hardly have been read."""

DAY_SECONDS: Final = 86_400


class Suggested(msgspec.Struct, kw_only=True):
    """What became of suggestions.

    `stood` were on the screen for 0.3 s or were accepted; `accept_rate` is accepted and partly
    accepted ones by all shown, `accept_rate_stood` by those that stood. `kept_30s` and `kept_5min`
    are shares of accepted characters, of those that were looked at again.
    """

    shown: int = 0
    stood: int = 0
    accepted: int = 0
    partly: int = 0
    typed_through: int = 0
    rejected: int = 0
    characters_shown: int = 0
    characters_accepted: int = 0
    accept_rate: float | None = None
    accept_rate_stood: float | None = None
    kept_30s: float | None = None
    kept_5min: float | None = None


class Spread(msgspec.Struct, kw_only=True):
    """`count` times in milliseconds: half of them are at most `p50`, 95 % at most `p95`."""

    count: int
    p50: float
    p95: float


class Statistics(msgspec.Struct, kw_only=True):
    """`since` and `until` are POSIX seconds of the first and last record, None without any.

    `outcomes` counts requests by what became of them, `origins` the shown ones by who knew the
    text, `latency` is of the shown ones: "answer" is the server's own time, the others the
    engine's stages. `by_day` is by the user's own calendar. `leaning` is what was learned of the
    user's decisions, in log odds: below zero less is shown, see policy/prior.py.
    """

    since: float | None
    until: float | None
    requests: int
    outcomes: dict[str, int]
    origins: dict[str, int]
    latency: dict[str, Spread]
    total: Suggested
    by_language: dict[str, Suggested]
    by_model: dict[str, Suggested]
    by_day: dict[str, Suggested]
    leaning: float = 0.0


class _Fate:
    """All that is recorded of one suggestion."""

    def __init__(self) -> None:
        self.shown: Shown | None = None
        self.end: Accepted | PartlyAccepted | Rejected | None = None
        self.kept: dict[int, Kept] = {}

    def add(self, event: Event) -> None:
        match event:
            case Shown():
                self.shown = event
            case Kept():
                self.kept[event.after_seconds] = event
            case Accepted() | PartlyAccepted() | Rejected():
                if self.end is None or _rank(event) >= _rank(self.end):
                    self.end = event
            case _:
                pass

    @property
    def first(self) -> Event | None:
        """What says when, in which language and by which model; None for one never shown."""
        is_accepted = isinstance(self.end, Accepted | PartlyAccepted)
        return self.shown or (self.end if is_accepted else None)


def statistics(records: Iterable[Record], *, since: float = 0.0) -> Statistics:
    """Count the records of `since`, in POSIX seconds, and later."""
    requests, times = list[RequestRecord](), list[float]()
    fates = defaultdict[tuple[str, int], _Fate](_Fate)
    leaning = 0.0
    for record in records:
        if isinstance(record, Learned):
            leaning = record.leaning
            continue
        if record.time < since:
            continue
        times.append(record.time)
        if isinstance(record, RequestRecord):
            requests.append(record)
        else:
            fates[record.session, record.ordinal].add(record)
    shown = [fate for fate in fates.values() if fate.first is not None]
    return Statistics(
        since=min(times, default=None),
        until=max(times, default=None),
        requests=len(requests),
        leaning=leaning,
        outcomes=dict(Counter(record.outcome for record in requests).most_common()),
        origins=dict(Counter(r.origin for r in requests if r.outcome == SHOWN).most_common()),
        latency=_latency(requests),
        total=_suggested(shown),
        by_language=_grouped(shown, lambda first: first.language),
        by_model=_grouped(shown, lambda first: first.model),
        by_day=dict(sorted(_grouped(shown, lambda first: _day(first.time)).items())),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least of `values` that is no less than this share of them (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _latency(requests: Sequence[RequestRecord]) -> dict[str, Spread]:
    times: dict[str, list[float]] = defaultdict(list)
    for record in requests:
        if record.outcome == SHOWN:
            for stage, ms in stages(record).items():
                times[stage].append(ms)
            times["answer"].append(record.elapsed_ms)
    return {stage: _spread(values) for stage, values in times.items()}


def _spread(values: Sequence[float]) -> Spread:
    p50, p95 = (round(percentile(values, share), 2) for share in (0.5, 0.95))
    return Spread(count=len(values), p50=p50, p95=p95)


def _grouped(fates: Sequence[_Fate], key: Callable[[Event], str]) -> dict[str, Suggested]:
    groups: dict[str, list[_Fate]] = defaultdict(list)
    for fate in fates:
        if fate.first is not None:
            groups[key(fate.first) or "unknown"].append(fate)
    by_size: Mapping[str, list[_Fate]] = dict(
        sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    )
    return {name: _suggested(members) for name, members in by_size.items()}


def _suggested(fates: Sequence[_Fate]) -> Suggested:
    counts = Suggested(shown=len(fates))
    for fate in fates:
        _count(counts, fate)
    taken = counts.accepted + counts.partly
    counts.accept_rate = _share(taken, counts.shown)
    counts.accept_rate_stood = _share(taken, counts.stood)
    counts.kept_30s, counts.kept_5min = (_kept(fates, seconds) for seconds in (30, 300))
    return counts


def _count(counts: Suggested, fate: _Fate) -> None:
    if fate.shown is not None:
        counts.characters_shown += fate.shown.characters
    match fate.end:
        case Accepted(characters=characters):
            counts.accepted += 1
            counts.characters_accepted += characters
        case PartlyAccepted(characters=characters):
            counts.partly += 1
            counts.characters_accepted += characters
        case Rejected(reason="typed through"):
            counts.typed_through += 1
        case Rejected():
            counts.rejected += 1
        case None:  # still there, or its server ended
            return
    is_taken = not isinstance(fate.end, Rejected)
    counts.stood += is_taken or fate.end.visible_ms >= STOOD_MS


def _kept(fates: Sequence[_Fate], seconds: int) -> float | None:
    seen = [fate.kept[seconds] for fate in fates if seconds in fate.kept]
    characters = sum(kept.characters for kept in seen)
    return _share(sum(kept.share * kept.characters for kept in seen), characters)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _rank(event: Event) -> int:
    return (Rejected, PartlyAccepted, Accepted).index(type(event))


def _day(time: float) -> str:
    return datetime.fromtimestamp(time).astimezone().date().isoformat()
