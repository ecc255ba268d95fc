"""What can go wrong with an endpoint, and how soon it is tried again.

Pure but for the exception: whoever asks says what time it is, in seconds of a clock that never goes
back.
"""

from typing import Final

from inference.errors import RemoteError

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0

MAX_SLOW: Final = 3
"""Answers in a row that were not there in time, before an endpoint counts as down."""


class TroubleError(RemoteError):
    """An endpoint did not answer as it should; the text says it in the user's words.

    `pause_s` is how long it asked to be left alone. `is_refusal`: it does not take what was asked
    in the way that it was asked.
    """

    def __init__(self, message: str, *, pause_s: float = 0.0, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.pause_s = pause_s
        self.is_refusal = is_refusal


class Breaker:
    """Keeps an endpoint alone after trouble: 5 s, and twice as long each time, up to 60 s.

    Only an answer to a request makes the next pause short again. An endpoint that can be reached
    and does not answer in time is in trouble too.
    """

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S
        self._retry_at = 0.0
        self._num_slow = 0

    def trouble(self, now: float, asked_s: float = 0.0) -> None:
        """Begin a pause, unless one is on: many requests may meet the same trouble."""
        if now < self._retry_at:
            return
        self._num_slow = 0
        self._retry_at = now + max(self._pause_s, min(asked_s, LONGEST_PAUSE_S))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def slow(self) -> bool:
        """Take note of an answer that was not there in time; return whether that is trouble."""
        self._num_slow += 1
        return self._num_slow >= MAX_SLOW

    def answered(self) -> None:
        self._pause_s = FIRST_PAUSE_S
        self._num_slow = 0

    def may_try(self, now: float) -> bool:
        return now >= self._retry_at

    def try_now(self) -> None:
        """Have the next one tried whenever it comes; the user said so."""
        self._retry_at = 0.0
