"""How soon the server answers, as an editor sees it: `python -m benchmarks.server`.

Everything is measured from outside, over the pipes of a real `inkling lsp` with the model that
ships: from the start of the process to the answer of `initialize`, from `initialized` to the first
completion, one warm keystroke (an edit and the completion after it), and what one edit costs in
files of different length (the edit and a request that is refused at once).

Of the few starts, as many as there are rounds, the median and the longest are told; of the others,
a hundred and more, the 95th percentile too.

`--peer COMMAND` starts another language server by turns with ours, GitHub's for example, and
measures what can be had of it without an account: the time to the answer of `initialize`, and the
memory of all its processes after IDLE_SECONDS.
"""

import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
import psutil
from rich.progress import track

from benchmarks.report import print_json, print_report, summary
from lsp_server.framing import FrameParser, frame
from lsp_server.transport import READ_BYTES

COMMAND: Final = (sys.executable, "-m", "inkling", "lsp", "--stdio")
URI: Final = "file:///workspace/benchmark.py"
NUM_KEYSTROKES: Final = 200
NUM_EDITS: Final = 101
FILE_LINES: Final = (1_000, 10_000, 100_000)
POLL_SECONDS: Final = 0.002
IDLE_SECONDS: Final = 5.0
MIB: Final = 1 << 20
CAPABILITIES: Final = {
    "general": {"positionEncodings": ["utf-16"]},
    "textDocument": {"inlineCompletion": {"dynamicRegistration": True}},
}

SOURCE: Final = '''"""A module of the usual kind."""

import os


class Account:
    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance

    def deposit(self, amount):
        self.balance += amount
        return self.balance


'''
TYPED: Final = (
    "def total(accounts):\n    result = 0\n    for account in accounts:\n"
    "        result += account.balance\n    return result\n\n\n"
    "def richest(accounts):\n    best = None\n    for account in accounts:\n"
    "        if best is None or account.balance > best.balance:\n"
)


class Editor:
    """A client that waits for each answer."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._frames = self._read()
        self._ids = itertools.count(1)
        self._versions = itertools.count(1)

    def request(self, method: str, params: object) -> Mapping[str, Any]:
        request_id = next(self._ids)
        self._send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return next(answer for answer in self._frames if answer.get("id") == request_id)

    def notify(self, method: str, params: object) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def initialize(self) -> None:
        params = {"processId": None, "rootUri": None, "capabilities": CAPABILITIES}
        assert "result" in self.request("initialize", params)

    def open(self, text: str) -> None:
        item = {"uri": URI, "languageId": "python", "version": next(self._versions), "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def insert(self, line: int, character: int, text: str) -> None:
        place = {"line": line, "character": character}
        change = {"range": {"start": place, "end": place}, "text": text}
        document = {"uri": URI, "version": next(self._versions)}
        self.notify(
            "textDocument/didChange", {"textDocument": document, "contentChanges": [change]}
        )

    def completions(self, line: int, character: int) -> Sequence[Any]:
        params = {
            "textDocument": {"uri": URI},
            "position": {"line": line, "character": character},
            "context": {"triggerKind": 2},
        }
        items: Sequence[Any] = self.request("textDocument/inlineCompletion", params)["result"][
            "items"
        ]
        return items

    def memory_mib(self) -> float:
        """Return the memory of the server and its children, what they share counted once."""
        process = psutil.Process(self._process.pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_full_info().pss for member in family) / MIB

    def leave(self) -> None:
        self.request("shutdown", None)
        self.notify("exit", None)
        self._process.wait()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(frame(json.dumps(message).encode()))
        self._process.stdin.flush()

    def _read(self) -> Iterator[Mapping[str, Any]]:
        assert self._process.stdout is not None
        parser, descriptor = FrameParser(), self._process.stdout.fileno()
        while data := os.read(descriptor, READ_BYTES):
            bodies = [body for body in parser.feed(data) if isinstance(body, bytes)]
            yield from map(json.loads, bodies)


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(2))
@click.option("--peer", metavar="COMMAND", help="Another language server to start by turns.")
def main(rounds: int, peer: str | None) -> None:
    """Measure the server with the model that ships with Inkling."""
    if peer is not None:
        _beside(shlex.split(peer), rounds)
        return
    starts = [_start_ms() for _ in track(range(rounds), description="starting")]
    samples = {
        "process start to initialize": [start for start, _ in starts],
        "initialized to first completion": [first for _, first in starts],
        "warm keystroke": _keystrokes_ms(),
    }
    for num_lines in track(FILE_LINES, description="editing"):
        samples[f"edit in {num_lines} lines"] = _edits_ms(num_lines)
    figures = {name: summary(values) for name, values in samples.items()}
    columns = ("median ms", "p95 ms", "max ms", "quartile spread", "count")
    rows = {name: _cells(figure) for name, figure in figures.items()}
    print_report("the server, seen from an editor", columns, rows)
    print_json("server", {"rounds": rounds, "milliseconds": figures})


def _beside(peer: Sequence[str], rounds: int) -> None:
    servers = {"inkling": COMMAND, "peer": tuple(peer)}
    initialize: dict[str, list[float]] = {name: [] for name in servers}
    memory: dict[str, list[float]] = {name: [] for name in servers}
    for _ in track(range(rounds), description="starting by turns"):
        for name, command in servers.items():
            started = time.perf_counter()
            with _editor(command) as editor:
                initialize[name].append(1000 * (time.perf_counter() - started))
                editor.notify("initialized", {})
                time.sleep(IDLE_SECONDS)
                memory[name].append(editor.memory_mib())
    milliseconds = {name: summary(values) for name, values in initialize.items()}
    mib = {name: summary(values) for name, values in memory.items()}
    rows = {f"{name}: process start to initialize, ms": milliseconds[name] for name in servers}
    rows |= {f"{name}: memory, MiB": mib[name] for name in servers}
    shown = {name: _cells(figure) for name, figure in rows.items()}
    print_report("started by turns", ("median", "p95", "max", "spread", "count"), shown)
    ratios = {
        "initialize": milliseconds["inkling"]["median"] / milliseconds["peer"]["median"],
        "memory": mib["inkling"]["median"] / mib["peer"]["median"],
    }
    print_json("server", {"milliseconds": milliseconds, "mib": mib, "ratios": ratios})


def _start_ms() -> tuple[float, float]:
    """Return the time to the answer of `initialize`, and from then to the first completion."""
    started = time.perf_counter()
    with _editor() as editor:
        initialized = time.perf_counter()
        editor.notify("initialized", {})
        editor.open(SOURCE)
        while not editor.completions(*_end_of(SOURCE)):
            time.sleep(POLL_SECONDS)
        return 1000 * (initialized - started), 1000 * (time.perf_counter() - initialized)


def _keystrokes_ms() -> list[float]:
    """Type NUM_KEYSTROKES characters, each followed by a completion, once the model has warmed."""
    samples: list[float] = []
    with _editor() as editor:
        text = SOURCE
        editor.open(text)
        while not editor.completions(*_end_of(text)):
            time.sleep(POLL_SECONDS)
        for character in TYPED[:NUM_KEYSTROKES]:
            started = time.perf_counter()
            editor.insert(*_end_of(text), character)
            text += character
            editor.completions(*_end_of(text))
            samples.append(1000 * (time.perf_counter() - started))
    return samples


def _edits_ms(num_lines: int) -> list[float]:
    samples: list[float] = []
    with _editor() as editor:
        editor.open("    value = compute(value)\n" * num_lines)
        for column in range(NUM_EDITS):
            started = time.perf_counter()
            editor.insert(num_lines // 2, column, "x")
            editor.request("benchmark/nothing", None)
            samples.append(1000 * (time.perf_counter() - started))
    return samples[1:]  # the first waits until the file has been opened


@contextmanager
def _editor(command: Sequence[str] = COMMAND) -> Generator[Editor]:
    editor = Editor(command)
    editor.initialize()
    yield editor
    editor.leave()


def _end_of(text: str) -> tuple[int, int]:
    lines = text.split("\n")
    return len(lines) - 1, len(lines[-1])


def _cells(figure: Mapping[str, float]) -> Sequence[str]:
    names = ("median", "p95", "max", "spread")
    shown = [f"{figure[name]:.2f}" if name in figure else "-" for name in names]
    return [*shown, str(figure["count"])]


if __name__ == "__main__":
    main()
