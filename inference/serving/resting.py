"""Have a model give up its memory once nobody has asked for anything for some minutes.

A model that is not asked is also given up when the machine is put on battery or taken off it: how
many threads it has is decided when it is opened. Lives in the event loop.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from inference.runtime.processor import is_on_battery

REST_AFTER_S: Final = 600.0
"""As long as it takes to be sure that somebody has gone: coming back takes half a second or more
(docs/server.md)."""

POWER_AFTER_S: Final = 20.0
"""Without a request, before it is looked whether what feeds the machine has changed."""


class Resting:
    """`rest` is called once nothing was `used` for `after_s`, and again only behind a next use."""

    def __init__(
        self,
        rest: Callable[[], None],
        after_s: float,
        *,
        on_battery: Callable[[], bool] = is_on_battery,
        power_after_s: float = POWER_AFTER_S,
    ) -> None:
        self._rest = rest
        self._after_s = after_s
        self._on_battery = on_battery
        self._power_after_s = power_after_s
        self._was_on_battery: bool | None = None
        self._used_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def used(self) -> None:
        """Somebody asks for something."""
        self._used_at = asyncio.get_running_loop().time()
        if self._timer is None:
            self._look_in(min(self._power_after_s, self._after_s))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        idle_s = asyncio.get_running_loop().time() - self._used_at
        is_idle = idle_s >= self._power_after_s
        if idle_s >= self._after_s or (is_idle and self._has_power_changed()):
            self._timer = self._was_on_battery = None
            self._rest()
        else:
            self._look_in(min(self._power_after_s, self._after_s - idle_s))

    def _has_power_changed(self) -> bool:
        before, self._was_on_battery = self._was_on_battery, self._on_battery()
        return before not in (None, self._was_on_battery)

    def _look_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)
