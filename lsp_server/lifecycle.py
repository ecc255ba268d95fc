"""Know which part of its life a server is in, and when its editor has gone.

    uninitialized ──initialize──► running ──shutdown──► shut down
          └────────────── exit or a lost client ──────────────┘

Leaving after `shutdown` is a success, leaving from anywhere else is not (LSP 3.18, "exit").
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

POLL_SECONDS: Final = 1.0
"""How often the editor's process is looked for where the system cannot announce its end."""


class Phase(Enum):
    UNINITIALIZED = auto()
    RUNNING = auto()
    SHUT_DOWN = auto()


class Lifecycle:
    """A phase that only moves forward, and an event set when the process shall leave."""

    def __init__(self) -> None:
        self._phase = Phase.UNINITIALIZED
        self._failed = False
        self._ended = asyncio.Event()
        self._stop_watching: Callable[[], None] = _do_nothing

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def exit_code(self) -> int:
        return 0 if self._phase is Phase.SHUT_DOWN and not self._failed else 1

    def start(self) -> None:
        self._phase = Phase.RUNNING

    def shut_down(self) -> None:
        self._phase = Phase.SHUT_DOWN

    def end(self) -> None:
        """Leave, with the exit code that the phase implies."""
        self._ended.set()

    def fail(self) -> None:
        """Leave with exit code 1: the client broke the protocol or is gone."""
        self._failed = True
        self._ended.set()

    def follow(self, process_id: int) -> None:
        """Leave when this process has ended, instead of the one that was followed before.

        That is the process that started us, until a client says who it is: a third one may hold our
        input open, so that its end does not come. A process that is not there to begin with lives
        in another container or on another machine, and changes nothing.
        """
        stop_watching = watch_process(process_id, self.end)
        if stop_watching is not None:
            self._stop_watching()
            self._stop_watching = stop_watching

    async def wait_ended(self) -> None:
        await self._ended.wait()


def watch_process(process_id: int, on_gone: Callable[[], None]) -> Callable[[], None] | None:
    """Call `on_gone` on the running loop once the process has ended.

    Returns what stops it from being watched, or None where it cannot be.
    """
    if sys.platform == "win32" or not _exists(process_id):
        return None
    loop = asyncio.get_running_loop()
    descriptor = _open_process(process_id)
    if descriptor is None:
        return _Poll(loop, process_id, on_gone).stop

    def stop() -> None:
        if loop.remove_reader(descriptor):
            os.close(descriptor)

    def gone() -> None:
        stop()
        on_gone()

    loop.add_reader(descriptor, gone)
    return stop


def _open_process(process_id: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; Linux 5.3 and later."""
    open_process = getattr(os, "pidfd_open", None)
    if open_process is not None:
        with contextlib.suppress(OSError):
            descriptor = open_process(process_id)
            assert isinstance(descriptor, int)
            return descriptor
    return None


class _Poll:
    """Look for a process again and again."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, process_id: int, on_gone: Callable[[], None]
    ) -> None:
        self._loop, self._process_id, self._on_gone = loop, process_id, on_gone
        self._next = loop.call_later(POLL_SECONDS, self._look)

    def stop(self) -> None:
        self._next.cancel()

    def _look(self) -> None:
        if _exists(self._process_id):
            self._next = self._loop.call_later(POLL_SECONDS, self._look)
        else:
            self._on_gone()


def _exists(process_id: int) -> bool:
    """Return whether there is such a process; 0 and negative numbers name none, see kill(2)."""
    if process_id <= 0:
        return False
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _do_nothing() -> None:
    pass
