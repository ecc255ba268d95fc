"""Say stop from any thread; be heard at the next step.

A CancelToken is set once and never cleared.
It knows neither who cancels nor what is cancelled. Who asks it before each step shows by that to be
alive.
"""

import contextlib
import threading
from collections.abc import Callable, Generator

from inference.errors import RequestCancelledError
from inference.timing import now_ms


class CancelToken:
    """Set once, from any thread; callbacks run in the thread that sets it.

    `asked_ms` is when a step was last begun, see now_ms.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._is_set = False
        self.asked_ms = now_ms()

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Cancel. The second call does nothing."""
        with self._lock:
            if self._is_set:
                return
            self._is_set = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def raise_if_set(self) -> None:
        """Raise RequestCancelledError once the token is set. To be called before each step."""
        self.asked_ms = now_ms()
        if self._is_set:
            raise RequestCancelledError("the request was cancelled")

    @contextlib.contextmanager
    def calling(self, callback: Callable[[], None]) -> Generator[None]:
        """Run `callback` if the token is set while the block runs; at once if it already is."""
        with self._lock:
            if not self._is_set:
                self._callbacks.append(callback)
        if self._is_set:
            callback()
        try:
            yield
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)
