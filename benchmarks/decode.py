"""How fast a package reads and writes: `python -m benchmarks.decode [PACKAGE...] [--gguf FILE]`.

Each package runs in a process of its own, and the processes take turns round by round, so that a
noisy machine is noisy for all of them alike. Prefill is the reading of 64, 512 and 2,048 tokens
into an empty cache, in the chunks that serving uses; decode is one token more behind as many, the
mean of 32. With several packages each is also given relative to the first.

`--gguf` measures llama.cpp on that file in the same turns: xllamacpp (the group `parity`), and
llama-cpp-python too where it is installed, which is built for the machine it is installed on. Their
times are those that llama.cpp itself tells.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, get_args

import click
import msgspec
import numpy as np
import psutil
from rich.progress import track

from benchmarks.peers import PEERS, Peer, Runner, open_runner
from benchmarks.report import print_json, print_report, summary
from inference.cancellation import CancelToken
from inference.decoding.session import Session
from inference.package.manifest import Device, read_manifest
from inference.package.store import embedded_folder
from inference.runtime.processor import num_physical_cores
from inference.serving.local import load_package

CONTEXTS: Final = (64, 512, 2_048)
MOST_READ: Final = 1_500
"""A context is read so often in a round that it is so many tokens in all, or once."""

NUM_DECODED: Final = 32
LEAST_VOCABULARY: Final = 1_000
"""Token ids that every model has."""

MIB: Final = 1 << 20

Measured = Mapping[str, Mapping[str, float]]
"""By figure: its median, spread and so on."""


class Kind(msgspec.Struct, frozen=True):
    """A package on a device, or a GGUF file in a peer."""

    path: Path
    runner: Device | Peer = "cpu"

    @property
    def name(self) -> str:
        if self.runner in PEERS:
            return f"{self.runner} ({self.path.name})"
        manifest = read_manifest(self.path)
        return f"{manifest.name} {manifest.precision} on {self.runner} ({self.path})"


@click.command()
@click.argument("packages", nargs=-1, type=click.Path(path_type=Path))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option(
    "--device",
    "devices",
    default=("cpu",),
    show_default=True,
    multiple=True,
    type=click.Choice(get_args(Device)),
    help="May be given twice: devices then take turns like packages.",
)
@click.option("--gguf", type=click.Path(path_type=Path, exists=True), help="For the peers.")
@click.option("--threads", default=None, type=click.IntRange(1), help="All cores if not given.")
def main(
    packages: tuple[Path, ...],
    *,
    rounds: int,
    gguf: Path | None,
    threads: int | None,
    devices: tuple[Device, ...],
) -> None:
    """Measure PACKAGES, or the model that ships with Inkling, on each device."""
    folders = packages or (embedded_folder(),)
    kinds = [Kind(folder, device) for folder in folders for device in devices]
    if gguf is not None:
        kinds += [Kind(gguf, peer) for peer, module in PEERS.items() if find_spec(module)]
    found = measure_in_turns(kinds, rounds, threads)
    figures = {kind.name: measured for kind, measured in zip(kinds, found, strict=True)}
    _print(figures)
    first = next(iter(figures.values()))
    ratios = {
        name: {
            key: round(figure["median"] / first[key]["median"], 3) for key, figure in row.items()
        }
        for name, row in figures.items()
    }
    print_json("decode", {"rounds": rounds, "packages": figures, "relative_to_first": ratios})


def measure_in_turns(
    kinds: Sequence[Kind], rounds: int, threads: int | None = None
) -> list[Measured]:
    """Measure each kind once a round; return the figures in the same order."""
    samples: list[list[dict[str, float]]] = [[] for _ in kinds]
    turns = [turn for _ in range(rounds) for turn in zip(kinds, samples, strict=True)]
    for kind, runs in track(turns, description="measuring"):
        runs.append(_in_own_process(kind, threads))
    return [{key: summary([run[key] for run in runs]) for key in runs[0]} for runs in samples]


def measure(kind: Kind, threads: int | None) -> dict[str, float]:
    """Load what is to be measured and time it, in this process."""
    started = time.perf_counter()
    runner = _opened(kind, threads)
    figures = {"load_ms": 1000 * (time.perf_counter() - started)}
    token_ids: list[int] = np.random.default_rng(0).integers(0, LEAST_VOCABULARY, 4096).tolist()
    runner.times(token_ids[: CONTEXTS[0]], 1)  # the first run of a length prepares its buffers
    for context in CONTEXTS:
        if context + NUM_DECODED <= runner.context_length:
            repeats = max(1, MOST_READ // context)
            times = [runner.times(token_ids[:context], NUM_DECODED) for _ in range(repeats)]
            prefill_ms, decode_ms = map(statistics.median, zip(*times, strict=True))
            figures[f"prefill_tokens_per_s_at_{context}"] = 1000 * context / prefill_ms
            figures[f"decode_ms_at_{context}"] = decode_ms
    figures["resident_mib"] = psutil.Process().memory_info().rss / MIB
    return figures


class _Package:
    """A package in our own runtime; see benchmarks.peers.Runner."""

    def __init__(self, folder: Path, device: Device, threads: int | None) -> None:
        self._model = load_package(folder, num_threads=threads, device=device).model

    @property
    def context_length(self) -> int:
        return self._model.context_length

    def times(self, prompt: Sequence[int], num_tokens: int) -> tuple[float, float]:
        session = Session(self._model)
        started = time.perf_counter()
        session.prefill(prompt, CancelToken())
        read = time.perf_counter()
        for token_id in prompt[:num_tokens]:
            session.append([token_id], CancelToken())
        return 1000 * (read - started), 1000 * (time.perf_counter() - read) / num_tokens


def _opened(kind: Kind, threads: int | None) -> Runner:
    match kind.runner:
        case "cpu" | "cuda" as device:
            return _Package(kind.path, device, threads)
        case peer:
            return open_runner(peer, kind.path, num_threads=threads or num_physical_cores())


def _in_own_process(kind: Kind, threads: int | None) -> dict[str, float]:
    asked = msgspec.json.encode([str(kind.path), kind.runner, threads]).decode()
    command = [sys.executable, "-m", "benchmarks.decode", "--one", asked]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, float])


def _print(figures: Mapping[str, Measured]) -> None:
    columns = list(next(iter(figures.values())))
    rows = {
        name: [f"{figure['median']:.4g} ± {figure['spread']:.2g}" for figure in row.values()]
        for name, row in figures.items()
    }
    print_report("median ± quartile spread over the rounds", columns, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        path, runner, number = msgspec.json.decode(
            sys.argv[2], type=tuple[str, Device | Peer, int | None]
        )
        print(msgspec.json.encode(measure(Kind(Path(path), runner), number)).decode())
    else:
        main()
