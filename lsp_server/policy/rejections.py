"""Remember what was rejected, so that the same text is not shown again and again; it fades. Pure.

A text is the same where it makes the same line, blanks aside, wherever in it the cursor is. What
was rejected once is not shown again for some minutes, what was rejected often for longer.
"""

import math
from collections import OrderedDict
from typing import Final

HALF_LIFE_SECONDS: Final = 300.0
WITHHELD_FROM: Final = 0.5
"""A rejection weighs one, and half as much after each half life."""

MAX_REMEMBERED: Final = 256


class Rejections:
    """`before` is the beginning of the cursor's line; `now` are seconds that never go back."""

    def __init__(self) -> None:
        self._weights: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def add(self, before: str, text: str, now: float) -> None:
        key = _key(before, text)
        self._weights[key] = self._weight(key, now) + 1, now
        self._weights.move_to_end(key)
        if len(self._weights) > MAX_REMEMBERED:
            self._weights.popitem(last=False)

    def forget(self, before: str, text: str) -> None:
        """Take back what was remembered: it was accepted after all."""
        self._weights.pop(_key(before, text), None)

    def holds(self, before: str, text: str, now: float) -> bool:
        """Say whether this was rejected lately."""
        return self._weight(_key(before, text), now) >= WITHHELD_FROM

    def _weight(self, key: str, now: float) -> float:
        weight, since = self._weights.get(key, (0.0, now))
        return weight * math.exp2(-(now - since) / HALF_LIFE_SECONDS)


def _key(before: str, text: str) -> str:
    return " ".join((before + text).split())
