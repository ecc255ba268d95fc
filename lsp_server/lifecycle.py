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

    async def wait_ended(self) -> None:
        await self._ended.wait()


def watch_process(process_id: int, on_gone: Callable[[], None]) -> None:
    """Call `on_gone` on the running loop once the process has ended.

    A process that is not there to begin with lives in another container or on another machine, so
    it cannot be watched; the end of the input tells of it instead.
    """
    loop = asyncio.get_running_loop()
    if sys.platform == "win32" or not _exists(process_id):
        return
    descriptor = _open_process(process_id)
    if descriptor is None:
        loop.call_later(POLL_SECONDS, _poll, loop, process_id, on_gone)
        return

    def gone() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        on_gone()

    loop.add_reader(descriptor, gone)


def _open_process(process_id: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; Linux 5.3 and later."""
    open_process = getattr(os, "pidfd_open", None)
    if open_process is not None:
        with contextlib.suppress(OSError):
            descriptor = open_process(process_id)
            assert isinstance(descriptor, int)
            return descriptor
    return None


def _poll(loop: asyncio.AbstractEventLoop, process_id: int, on_gone: Callable[[], None]) -> None:
    if _exists(process_id):
        loop.call_later(POLL_SECONDS, _poll, loop, process_id, on_gone)
    else:
        on_gone()


def _exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
