"""Engines and editors are killed at any moment while somebody types.

A few times each; with --long two hundred engines and a hundred editors, and the times that it
takes are written out. The limits here are what no load of the machine explains.
"""

import itertools
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from statistics import quantiles

import psutil
import pytest

from tests.support.chaos_server import COMMAND, hosts_of
from tests.support.fake_editor import INLINE, FakeEditor
from tests.support.fake_host_scripted import STUCK
from tests.support.profiles import PROFILES
from tests.support.random_typist import RandomTypist
from tests.support.raw_client import PATIENCE_SECONDS, ROOT
from tests.support.reference_document import ReferenceDocument

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open exists on Linux only"),
]

SEED = 6
PROFILE = "nvim012"
SERVED = "file:///workspace/served.py"
MAX_ANSWER_SECONDS = 5.0
"""The aim is 0.1 s from the death of an engine to the answer of the last that waits for it."""

MAX_SERVING_SECONDS = 30.0
"""The aim is 2 s and what loading takes, here some half a second."""


class Death:
    """Waits for a process, and knows when it ended."""

    def __init__(self, process_id: int) -> None:
        self._process = os.pidfd_open(process_id)
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def time(self) -> float:
        self._thread.join(PATIENCE_SECONDS)
        return self._time

    def _wait(self) -> None:
        select.select([self._process], [], [], PATIENCE_SECONDS)
        self._time = time.perf_counter()
        os.close(self._process)


@pytest.mark.parametrize(("signal_number", "num_times"), [(signal.SIGKILL, 3), (signal.SIGSTOP, 2)])
def test_engines_end_at_any_moment_while_somebody_types(
    signal_number: signal.Signals, num_times: int, num_examples: Callable[..., int]
) -> None:
    """Every other time something waits that would never be answered."""
    chance = random.Random(SEED)
    editor = FakeEditor(PROFILE, COMMAND)
    answering, serving = list[float](), list[float]()
    try:
        with editor.explained(SEED):
            typist = RandomTypist(editor, SEED)
            stuck = ReferenceDocument("file:///workspace/stuck.py", STUCK, editor.encoding)
            editor.open(stuck)
            editor.open(ReferenceDocument(SERVED, "x = ", editor.encoding))
            for number in range(num_examples(short=num_times, long=100)):
                wait_served(editor)
                typist.run(chance.randrange(1, 30))
                waiting = [editor.ask(stuck)] if number % 2 else []
                (host,) = hosts_of(editor.client.process.pid)
                death = Death(host.pid)
                time.sleep(chance.random() * 0.02)
                assert not any(editor.client.has_response(one) for one in waiting)
                os.kill(host.pid, signal_number)
                typist.press_key()
                editor.settle()
                answering.append(max(0.0, time.perf_counter() - death.time()))
                wait_served(editor)
                serving.append(time.perf_counter() - death.time())
            editor.leave()
    finally:
        editor.kill()
    tell(f"engines ended by {signal_number.name}", answered=answering, serving=serving)
    assert max(answering) < MAX_ANSWER_SECONDS
    assert max(serving) < MAX_SERVING_SECONDS


def test_editors_are_killed_and_leave_nothing(num_examples: Callable[..., int]) -> None:
    chance = random.Random(SEED)
    leaving = [
        seconds_to_leave(profile, chance)
        for profile in itertools.islice(
            itertools.cycle(PROFILES), num_examples(short=5, long=100)
        )
    ]  # fmt: skip
    tell("editors killed", gone=leaving)


def seconds_to_leave(profile: str, chance: random.Random) -> float:
    """Kill an editor while it types; return how long its server and engine outlive it."""
    command = (sys.executable, "-m", "tests.support.typing_editor")
    arguments = (profile, str(chance.randrange(1000)))
    with subprocess.Popen((*command, *arguments), stdout=subprocess.PIPE, cwd=ROOT) as editor:
        assert editor.stdout is not None
        server = psutil.Process(int(editor.stdout.readline()))
        assert len(hosts_of(server.pid)) == 1
        time.sleep(chance.random() * 0.5)
        others = [server, *server.children(recursive=True)]
        deaths = [Death(process.pid) for process in others]
        start = time.perf_counter()
        editor.kill()
        end = max(death.time() for death in deaths)
    assert [process for process in others if is_alive(process)] == []
    assert hosts_of(server.pid) == []
    return end - start


def is_alive(process: psutil.Process) -> bool:
    """Return whether it still runs; some systems do not reap what has lost its parent."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_served(editor: FakeEditor) -> None:
    """Ask for something that is not on the screen until there is an answer with text."""
    place, context = {"line": 0, "character": 4}, {"triggerKind": 1}
    params = {"textDocument": {"uri": SERVED}, "position": place, "context": context}
    end = time.perf_counter() + PATIENCE_SECONDS
    while not editor.client.result(INLINE, params)["items"]:
        assert time.perf_counter() < end
        time.sleep(0.01)


def tell(what: str, **measured: Sequence[float]) -> None:
    for name, seconds in measured.items():
        *_, p99 = quantiles(seconds, n=100, method="inclusive")
        median, most = sorted(seconds)[len(seconds) // 2], max(seconds)
        sys.stdout.write(
            f"{len(seconds)} {what}: {name} after {median * 1000:.0f} ms in the median, "
            f"{p99 * 1000:.0f} ms p99, {most * 1000:.0f} ms at most\n"
        )
