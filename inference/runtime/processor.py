"""How many threads a matrix product is worth on this machine."""

import os
from pathlib import Path


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
