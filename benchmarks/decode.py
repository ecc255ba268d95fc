"""How fast a package reads and writes: `python -m benchmarks.decode [PACKAGE...]`.

Each package runs in a process of its own, and the processes take turns round by round, so that a
noisy machine is noisy for all of them alike. Prefill is the reading of 512 tokens into an empty
cache, in the chunks that serving uses; decode is one token more behind a context of 64 or of 512.
With several packages each is also given relative to the first.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

import click
import numpy as np
import psutil
from rich.progress import track

from benchmarks.report import print_json, print_report, summary
from inference.cancellation import CancelToken
from inference.decoding.session import Session
from inference.package.manifest import Device, read_manifest
from inference.package.store import embedded_folder
from inference.serving.local import load_package

NUM_PREFILL: Final = 512
CONTEXTS: Final = (64, 512)
NUM_DECODED: Final = 32
MIB: Final = 1 << 20


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
@click.option("--threads", default=None, type=click.IntRange(1), help="All cores if not given.")
def main(
    packages: tuple[Path, ...], rounds: int, threads: int | None, devices: tuple[Device, ...]
) -> None:
    """Measure PACKAGES, or the model that ships with Inkling, on each device."""
    folders = packages or (embedded_folder(),)
    kinds: list[tuple[Path, Device]] = [
        (folder, device) for folder in folders for device in devices
    ]
    samples: dict[str, list[dict[str, float]]] = {_name(*kind): [] for kind in kinds}
    for kind in track([kind for _ in range(rounds) for kind in kinds], description="measuring"):
        samples[_name(*kind)].append(_in_own_process(*kind, threads))
    figures = {name: _figures(runs) for name, runs in samples.items()}
    _print(figures)
    first = next(iter(figures.values()))
    ratios = {
        name: {
            key: round(figure["median"] / first[key]["median"], 3) for key, figure in row.items()
        }
        for name, row in figures.items()
    }
    print_json("decode", {"rounds": rounds, "packages": figures, "relative_to_first": ratios})


def measure(folder: Path, device: Device, threads: int | None) -> dict[str, float]:
    """Load one package and time it, in this process."""
    started = time.perf_counter()
    model = load_package(folder, num_threads=threads, device=device).model
    load_ms = 1000 * (time.perf_counter() - started)
    random = np.random.default_rng(0)
    token_ids: list[int] = random.integers(0, model.vocab_size, NUM_PREFILL).tolist()
    figures = {"load_ms": load_ms}
    session = Session(model)
    _prefill_ms(session, token_ids[:64])  # the first run of a length prepares its buffers
    figures["prefill_tokens_per_s"] = statistics.median(
        1000 * NUM_PREFILL / _prefill_ms(Session(model), token_ids) for _ in range(3)
    )
    for context in CONTEXTS:
        session.prefill(token_ids[:context], CancelToken())
        figures[f"decode_ms_at_{context}"] = _decode_ms(session, token_ids)
    figures["resident_mib"] = psutil.Process().memory_info().rss / MIB
    return figures


def _prefill_ms(session: Session, token_ids: Sequence[int]) -> float:
    started = time.perf_counter()
    session.prefill(token_ids, CancelToken())
    return 1000 * (time.perf_counter() - started)


def _decode_ms(session: Session, token_ids: Sequence[int]) -> float:
    """Return the median time of one step over NUM_DECODED steps."""
    samples: list[float] = []
    for token_id in token_ids[:NUM_DECODED]:
        started = time.perf_counter()
        session.append([token_id], CancelToken())
        samples.append(1000 * (time.perf_counter() - started))
    return statistics.median(samples)


def _in_own_process(folder: Path, device: Device, threads: int | None) -> dict[str, float]:
    arguments = [str(folder), device, str(threads or 0)]
    command = [sys.executable, "-m", "benchmarks.decode", "--one", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: Any = json.loads(done.stdout.splitlines()[-1])
    return figures


def _figures(runs: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {key: summary([run[key] for run in runs]) for key in runs[0]}


def _name(folder: Path, device: Device) -> str:
    manifest = read_manifest(folder)
    return f"{manifest.name} {manifest.precision} on {device} ({folder})"


def _print(figures: dict[str, dict[str, dict[str, float]]]) -> None:
    columns = list(next(iter(figures.values())))
    rows = {
        name: [f"{figure['median']:.4g} ± {figure['spread']:.2g}" for figure in row.values()]
        for name, row in figures.items()
    }
    print_report("median ± quartile spread over the rounds", columns, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        path, name, number = sys.argv[2:]
        print(json.dumps(measure(Path(path), cast("Device", name), int(number) or None)))
    else:
        main()
