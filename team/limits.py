"""How much of the service one person gets, and how many wait at once. Time is the caller's.

A request that would wait behind too many others is refused at once, so that its client can answer
by itself (reliability of the client, not of the queue). Nothing here is written anywhere: after a
restart everybody begins anew.
"""

import contextlib
from collections import Counter
from collections.abc import Generator
from typing import Final

import msgspec

from team.tokens import TokenRecord
from team.wire import Refused

DAY_SECONDS: Final = 86_400.0
BURST_SECONDS: Final = 10.0
"""Whoever was quiet may send at once what comes in so many seconds at the rate."""

RETRY_SECONDS: Final = 1.0


class Spent(msgspec.Struct):
    """What one person has left of the rate, and has used since `day_began`."""

    tokens: float
    at: float
    day_began: float
    num_today: int = 0


class Quotas:
    """A bucket that fills at the rate (the token bucket of RFC 2697) for each name."""

    def __init__(self) -> None:
        self._spent: dict[str, Spent] = {}

    def spend(self, record: TokenRecord, now: float) -> None:
        """Count a request of somebody's at `now`, in seconds. Raises Refused (429)."""
        rate = record.per_minute / 60
        most = max(1.0, rate * BURST_SECONDS)
        spent = self._spent.setdefault(record.name, Spent(most, now, now))
        if now - spent.day_began >= DAY_SECONDS:
            spent.day_began, spent.num_today = now, 0
        spent.tokens, spent.at = min(most, spent.tokens + rate * (now - spent.at)), now
        if record.per_day and spent.num_today >= record.per_day:
            left = spent.day_began + DAY_SECONDS - now
            raise Refused(429, f"{record.per_day} requests a day are used up", retry_after=left)
        if record.per_minute and spent.tokens < 1:
            left = (1 - spent.tokens) / rate
            message = f"more than {record.per_minute} requests a minute"
            raise Refused(429, message, retry_after=left)
        spent.tokens -= 1 if record.per_minute else 0
        spent.num_today += 1


class Admission:
    """How many requests wait or run, of all and of each person."""

    def __init__(self, max_waiting: int, max_waiting_of_one: int) -> None:
        self._max_waiting, self._max_waiting_of_one = max_waiting, max_waiting_of_one
        self._num_waiting: Counter[str] = Counter()

    @property
    def num_waiting(self) -> int:
        return self._num_waiting.total()

    @contextlib.contextmanager
    def admitted(self, owner: str) -> Generator[None]:
        """Have a place while the block runs. Raises Refused at once where there is none."""
        self.check(owner)
        self._num_waiting[owner] += 1
        try:
            yield
        finally:
            self._num_waiting[owner] -= 1
            self._num_waiting += Counter()  # leaves out whoever has none

    def check(self, owner: str) -> None:
        """Raise Refused where there is no place; who is nobody in particular has all of them."""
        if owner and self._num_waiting[owner] >= self._max_waiting_of_one:
            raise Refused(
                429,
                f"{self._max_waiting_of_one} requests of yours are under way",
                retry_after=RETRY_SECONDS,
            )
        if self.num_waiting >= self._max_waiting:
            raise Refused(503, "too many requests wait", retry_after=RETRY_SECONDS)
