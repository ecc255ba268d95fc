"""How long the engine's supervisor waits for what, and how soon it starts a host again.

Pure: whoever asks says what time it is, in seconds of a clock that never goes back.
"""

import dataclasses
from typing import Final

_GIGABYTE: Final = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """All in seconds; a silent host is counted in heartbeats.

    Beats, because a laptop that sleeps through ten of them has counted one, and finds the answer
    in the pipe before the next.

    A host whose model is read from a slow disk, or pushed out of memory and read again, is silent
    for as long as that takes: so each gigabyte of the model adds to what it is given. Loading is
    given more in any case: session creation may hold the interpreter's lock for as long.
    """

    heartbeat_s: float = 1.0
    silent_beats: int = 4
    silent_beats_loading: int = 120
    beats_per_gigabyte: float = 20.0
    """A disk that reads 50 MB a second."""
    stalled_s: float = 10.0
    """Without a step, before the engine thread counts as stuck; more for a model of gigabytes."""
    overdue_s: float = 10.0
    """After the last deadline of all pending requests; then answers are lost."""
    first_delay_s: float = 0.2
    longest_delay_s: float = 1.6
    max_restarts: int = 5
    restart_window_s: float = 180.0
    first_pause_s: float = 15.0
    longest_pause_s: float = 600.0
    shutdown_grace_s: float = 0.5

    def silence(self, model_bytes: int, *, is_ready: bool) -> int:
        """Return the number of beats without a word after which a host is given up."""
        beats = self.silent_beats if is_ready else self.silent_beats_loading
        return beats + self._beats_for(model_bytes)

    def longest_step_s(self, model_bytes: int) -> float:
        return self.stalled_s + self._beats_for(model_bytes) * self.heartbeat_s

    def latest_answer_s(self, model_bytes: int) -> float:
        """Return how long after its deadline an answer may come: behind one more step."""
        return self.overdue_s + self._beats_for(model_bytes) * self.heartbeat_s

    def _beats_for(self, model_bytes: int) -> int:
        return round(model_bytes / _GIGABYTE * self.beats_per_gigabyte)


class RestartBudget:
    """How soon to start again: later each time, and after too many within the window on request.

    The pause before a request may start it doubles, until the engine has lived through a window.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._spent: list[float] = []
        self._num_pauses = 0

    def spend(self, now: float) -> float | None:
        """Return the seconds to wait, or None where the budget is used up."""
        patience = self._patience
        self._spent = [when for when in self._spent if now - when < patience.restart_window_s]
        if len(self._spent) >= patience.max_restarts:
            return None
        if not self._spent:
            self._num_pauses = 0
        self._spent.append(now)
        delay = patience.first_delay_s * 2.0 ** (len(self._spent) - 1)
        return min(delay, patience.longest_delay_s)

    def pause(self, now: float) -> float:
        """Return the seconds in which no request starts a host; twice as many each time."""
        patience = self._patience
        pause = min(patience.first_pause_s * 2.0**self._num_pauses, patience.longest_pause_s)
        self._num_pauses += 1
        # What starts behind the pause and dies at once is given another pause, no quick restart.
        end = now + pause
        self._spent = [max(when, end) for when in self._spent]
        return pause
