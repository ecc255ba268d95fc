"""What it costs to start: processor time, which a loaded machine does not stretch, and memory."""

import psutil
import pytest

from tests.support.raw_client import INKLING_LSP, RawClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MAX_PROCESSOR_SECONDS = 0.6
"""It takes 0.25; with every type of LSP built it took 0.8."""
MAX_RESIDENT_BYTES = 120 << 20


def test_initialize_is_answered_soon_and_takes_little_memory() -> None:
    with RawClient(INKLING_LSP) as client:
        server = psutil.Process(client.process.pid)
        client.initialize()
        times = server.cpu_times()
        assert times.user + times.system < MAX_PROCESSOR_SECONDS
        assert server.memory_info().rss < MAX_RESIDENT_BYTES
        assert client.leave() == 0
