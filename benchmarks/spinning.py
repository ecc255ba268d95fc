"""What threads that look for work cost: `python -m benchmarks.spinning [--model NAME]`.

A completion of so many tokens behind a prefix that was read, then a pause as between keystrokes; by
engines with different spin durations, each in a process of its own, in turns.

    ms a token   of writing, median
    CPU ms       processor time from the beginning of a completion to the end of the pause
    behind       of that, what was spent in the pause
"""

import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import Final

import click
import msgspec
from rich.progress import track

from benchmarks.report import print_json, print_report
from inference.cancellation import CancelToken
from inference.completion import CompletionRequest
from inference.decoding.completer import Completer
from inference.package.store import find_model
from inference.runtime import onnx
from inference.serving.local import load_package
from inference.timing import now_ms

DURATIONS_US: Final[Mapping[str, int]] = {
    "38 ms, onnxruntime's own": 38_000,
    "5 ms": 5_000,
    "2 ms": 2_000,
    "0.5 ms": 500,
    "none": 0,
}
PAUSE_S: Final = 0.2
REQUEST: Final = CompletionRequest(
    document="a.py",
    language="python",
    prefix='def fibonacci(n):\n    """Return the first n numbers of the sequence."""\n    ',
    suffix="\n\n\nprint(fibonacci(10))\n",
    scope="block",
    max_tokens=24,
)


class Turn(msgspec.Struct, frozen=True):
    ms_a_token: float
    cpu_ms: float
    behind_ms: float


class _Engine:
    """Lives in a worker process; the one that it computes with."""

    completer: Completer | None = None


def _open(model: str | None, duration_us: int) -> None:
    onnx.SPIN_DURATION_US = duration_us  # pyright: ignore[reportConstantRedefinition]
    _Engine.completer = Completer(load_package(find_model(model).folder))
    _Engine.completer.warm_up()


def _turn() -> Turn:
    assert _Engine.completer is not None
    started = time.process_time()
    completion = _Engine.completer.complete(
        REQUEST, CancelToken(), received_ms=now_ms(), publish=lambda _: None
    )
    written = time.process_time()
    time.sleep(PAUSE_S)
    ended = time.process_time()
    return Turn(
        completion.timings.decode_ms / completion.tokens.generated,
        (ended - started) * 1000,
        (ended - written) * 1000,
    )


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--rounds", "num_rounds", default=9, show_default=True)
def main(model: str | None, num_rounds: int) -> None:
    turns: dict[str, list[Turn]] = {name: [] for name in DURATIONS_US}
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        engines: dict[str, ProcessPoolExecutor] = {}
        for name, duration_us in DURATIONS_US.items():
            pool = ProcessPoolExecutor(1, spawn, initializer=_open, initargs=(model, duration_us))
            engines[name] = stack.enter_context(pool)
            pool.submit(_turn).result()
        for _ in track(range(num_rounds), description="in turns"):
            for name, engine in engines.items():
                turns[name].append(engine.submit(_turn).result())
    figures = {
        name: {
            field: median(getattr(turn, field) for turn in taken)
            for field in Turn.__struct_fields__
        }
        for name, taken in turns.items()
    }
    rows = {
        name: [f"{row['ms_a_token']:.2f}", f"{row['cpu_ms']:.0f}", f"{row['behind_ms']:.0f}"]
        for name, row in figures.items()
    }
    print_report("threads that look for work", ["ms a token", "CPU ms", "behind"], rows)
    print_json("spinning", {"model": model, "rounds": num_rounds, "durations": figures})


if __name__ == "__main__":
    main()
