"""What a process takes of this machine: threads for a matrix product, and memory."""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, cast

MIN_ON_BATTERY: Final = 2
"""Threads that are used on battery whatever there is: with one, reading takes twice as long."""


class _Battery(Protocol):
    """What psutil knows of one; it has no types for it."""

    power_plugged: bool | None


def num_worthwhile_threads() -> int:
    """Return how many threads a model gets: one a core, and on battery one for every two."""
    num_cores = num_physical_cores()
    return min(num_cores, max(MIN_ON_BATTERY, num_cores // 2)) if is_on_battery() else num_cores


def is_on_battery() -> bool:
    """Say whether a battery is what feeds this machine; where that is not known it is not."""
    import psutil  # late: not every use of a package needs to know

    try:
        ask = cast("Callable[[], _Battery | None]", getattr(psutil, "sensors_battery", _nothing))
        battery = ask()
    except (OSError, RuntimeError, ValueError):  # odd files
        return False
    return battery is not None and battery.power_plugged is False


def _nothing() -> None:
    """Tell of no battery, where psutil cannot."""


def num_physical_cores() -> int:
    """Return how many cores this process may use, hyper-threads counted as half where known.

    A second thread per core slows the small matrix products of decoding down.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    logical = available or os.cpu_count() or 1
    return max(1, logical // _threads_per_core())


def _threads_per_core() -> int:
    siblings = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    try:
        text = siblings.read_text("ascii").strip()
    except OSError:
        return 1
    first, _, last = text.replace(",", "-").partition("-")
    return 2 if last and last != first else 1


def return_freed_memory() -> None:
    """Give back to the system what was freed: glibc keeps it, 300 MiB of a model of 430 (measured).

    malloc_trim(3); elsewhere nothing is known to be kept.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # musl has none
            trim(0)
