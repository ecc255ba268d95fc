"""Nothing leaves the machine, whatever a dependency would like: what the system sees is counted.

Each program runs in a network namespace of its own under strace, which sees native sockets and
files that no hook in Python does. Needs Linux with strace (Debian: `apt-get install strace`) and
the right to make such a namespace.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw_client import INKLING_LSP, ROOT, RawClient, inline_params
from tests.support.tiny_checkpoints import write_tiny_checkpoint

NAMESPACE = ("unshare", "--map-root-user", "--net")
CALLS = "network,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,symlink"
WATCHED_S = 20.0
"""onnxruntime tries the network ten seconds after it was loaded."""

TEXT = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = \n"


def _can_watch() -> bool:
    if shutil.which("strace") is None or shutil.which("unshare") is None:
        return False
    tried = [*NAMESPACE, "strace", "-f", "-qq", "-o", os.devnull, "true"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not _can_watch(), reason="needs strace and network namespaces"),
]


class Watch:
    """Where a program's files may lie, and what the system saw of it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.files = folder / "files"
        self.home.mkdir()
        self.files.mkdir()
        self._trace = folder / "trace.txt"
        # As a user's: onnxruntime tells its maker nothing where CI is set.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("ORT_") and name != "CI"
        } | {
            "HOME": str(self.home),
            "TMPDIR": str(self.files),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_STATE_HOME": str(self.files / "state"),  # where the journal may be written
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, *command: str) -> tuple[str, ...]:
        strace = ("strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(self._trace))
        return (*NAMESPACE, *strace, *command)

    def network_calls(self) -> list[str]:
        """Return calls that make a socket or use one.

        asyncio wakes its loop through a pair of sockets, which is a pipe: it needs no address.
        """
        return [
            line
            for line in self._trace.read_text("utf-8", "replace").splitlines()
            if re.match(r"\d+ +(socket|connect|bind|listen|send\w*)\(", line)
            if not re.match(r"\d+ +sendto\(\d+, .*, NULL, 0\b", line)
        ]

    def written_elsewhere(self) -> list[str]:
        """Return what was opened to be written, made or renamed outside the program's own files."""
        makes = re.compile(r"\d+ +(openat?2?\(.*O_(WRONLY|RDWR|CREAT)|(creat|mk|renam|link|sym))")
        known = re.compile(rf'"({re.escape(str(self.files))}|/dev/(null|tty|shm/))')
        return [
            line
            for line in self._trace.read_text("utf-8", "replace").splitlines()
            if makes.match(line) and not known.search(line) and "= -1 " not in line
        ]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def check_silent(watch: Watch, act: Callable[[Watch], None]) -> None:
    act(watch)
    assert watch.network_calls() == []
    assert watch.written_elsewhere() == []
    assert list(watch.home.rglob("*")) == []


def serve_and_complete(watch: Watch) -> None:
    with RawClient(watch.command(*INKLING_LSP), watch.environment) as client:
        client.initialize()
        client.open(TEXT)
        items: list[object] = []
        until = time.monotonic() + 60
        while not items and time.monotonic() < until:  # until the model is loaded
            items = client.result("textDocument/inlineCompletion", inline_params(3, 17))["items"]
        assert items, client.stderr
        time.sleep(WATCHED_S)
        assert client.leave() == 0


def run(*arguments: str) -> Callable[[Watch], None]:
    def act(watch: Watch) -> None:
        command = watch.command(sys.executable, *arguments)
        environment = watch.environment
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, check=False, text=True
        )
        assert done.returncode == 0, done.stderr

    return act


def export(watch: Watch) -> None:
    checkpoint, package = watch.files / "checkpoint", watch.files / "package"
    write_tiny_checkpoint(checkpoint)
    arguments = (
        str(checkpoint),
        "--output",
        str(package),
        "--block-size",
        "32",
        "--accept-quality",
    )
    run("-m", "inkling", "export", *arguments)(watch)


def test_the_server_with_the_model_that_ships(watch: Watch) -> None:
    check_silent(watch, serve_and_complete)


def test_a_completion_from_the_command_line(watch: Watch) -> None:
    place = "inference/cancellation.py:17:13"
    check_silent(watch, run("-m", "inkling", "complete", place, "--json"))


def test_an_evaluation(watch: Watch) -> None:
    command = ("-m", "inkling", "eval", "inference/fim.py", "--max-holes", "2", "--json")
    check_silent(watch, run(*command))


def test_an_export(watch: Watch) -> None:
    check_silent(watch, export)


def test_a_benchmark(watch: Watch) -> None:
    package = str(ROOT / "inference" / "default_model")
    check_silent(watch, run("-m", "benchmarks.decode", package, "--rounds", "2"))


def test_without_the_variable_onnxruntime_is_seen_to_write_and_to_call(watch: Watch) -> None:
    """The watch sees what it is there for; when this fails, look what the library does now."""
    program = (
        "import time, onnxruntime\n"
        "model = 'inference/default_model/model.onnx'\n"
        "onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])\n"
        f"time.sleep({WATCHED_S})\n"
    )
    run("-c", program)(watch)
    assert watch.network_calls()
    assert watch.written_elsewhere()
    assert list(watch.home.rglob("*.db"))
