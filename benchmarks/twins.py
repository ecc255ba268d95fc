"""What experts save: `python -m benchmarks.twins`.

A Mixture-of-Experts model beside two dense twins of the same layers, one with as many parameters
that a token meets, one with as many in all; random weights, int4. Each reads a prompt of 512 tokens
and writes behind it, and their reads and steps take turns, so that a noisy machine is noisy for all
of them. `base` is the shape that we train on a GPU, `olmoe` two layers of OLMoE-1B-7B's.

Whether a twin is as good is another question: training/README.md has trials of equal compute.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import numpy as np
from rich.progress import track

from benchmarks.report import print_json, print_report
from benchmarks.states import timed_step
from benchmarks.streaming import SHAPE as OLMOE
from export.spec.decoder import num_parameters
from inference.cancellation import CancelToken
from inference.decoding.session import Session
from tests.support.exported import export_tiny
from tests.support.tiny_checkpoints import COMMON, VOCAB_SIZE, TinyModel
from training.model.configuration import read_configuration, to_config_json

NUM_PREFILL: Final = 512
NUM_STEPS: Final = 32
TWINS: Final = ("experts", "dense, same active", "dense, same in all")
DENSE_KEYS: Final = {*COMMON, "head_dim"} - {"torch_dtype"}
TOKEN_IDS: Final[list[int]] = np.random.default_rng(0).integers(0, VOCAB_SIZE, NUM_PREFILL).tolist()


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over the rounds."""

    parameters: int
    step_ms: float
    prefill_ms: float


@click.command()
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--shape", "shapes", default=("base", "olmoe"), multiple=True, show_default=True)
def main(rounds: int, shapes: Sequence[str]) -> None:
    figures = {name: _measure(moe_config(name), rounds) for name in shapes}
    rows = {
        f"{shape}, {name}": [
            f"{found.parameters / 1e6:.1f}M",
            f"{found.step_ms:.2f} ({found.step_ms / measured['experts'].step_ms:.2f})",
            f"{found.prefill_ms:.1f} ({found.prefill_ms / measured['experts'].prefill_ms:.2f})",
        ]
        for shape, measured in figures.items()
        for name, found in measured.items()
    }
    columns = ["parameters", "ms a token (ratio)", f"ms for {NUM_PREFILL} tokens (ratio)"]
    print_report("a model of experts and its dense twins", columns, rows)
    print_json("twins", {"rounds": rounds, "shapes": msgspec.to_builtins(figures)})


def moe_config(shape: str) -> dict[str, Any]:
    """Return the config.json of a Qwen3-MoE of that shape."""
    config = to_config_json(read_configuration("base").shape)
    if shape == "base":
        return config
    if shape == "olmoe":
        size = OLMOE["intermediate_size"]
        two_layers = {"num_hidden_layers": 2, "head_dim": 128, "moe_intermediate_size": size}
        return {**config, **OLMOE, **two_layers}
    raise click.UsageError(f"no shape {shape}; use base or olmoe")


def dense_config(moe: Mapping[str, Any], num_experts: int) -> dict[str, Any]:
    """Return that of a Qwen3 whose layers are as wide as so many experts together."""
    shared = {name: value for name, value in moe.items() if name in DENSE_KEYS}
    named = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    return {**shared, **named, "intermediate_size": num_experts * moe["moe_intermediate_size"]}


def _measure(moe: Mapping[str, Any], rounds: int) -> dict[str, Figures]:
    configs = (
        moe,
        dense_config(moe, moe["num_experts_per_tok"]),
        dense_config(moe, moe["num_experts"]),
    )
    with tempfile.TemporaryDirectory() as folder:
        twins = {
            name: _load(Path(folder) / name, config)
            for name, config in zip(TWINS, track(configs, description="exporting"), strict=True)
        }
        steps: dict[str, list[float]] = {name: [] for name in twins}
        prefills: dict[str, list[float]] = {name: [] for name in twins}
        for _ in track(range(rounds), description="measuring"):
            for name, (_, session) in twins.items():
                prefills[name].append(_timed_prefill(session))
            for token_id in range(NUM_STEPS):
                for name, (_, session) in twins.items():
                    steps[name].append(timed_step(session, token_id))
    return {
        name: Figures(
            parameters=size,
            step_ms=round(statistics.median(steps[name]), 4),
            prefill_ms=round(statistics.median(prefills[name]), 2),
        )
        for name, (size, _) in twins.items()
    }


def _load(folder: Path, config: Mapping[str, Any]) -> tuple[int, Session]:
    exported = export_tiny(folder, TinyModel("twin", 1, config, COMMON), "int4", block_size=128)
    return num_parameters(exported.spec), Session(exported.load())


def _timed_prefill(session: Session) -> float:
    session.prefill([1], CancelToken())  # forgets what was read
    started = time.perf_counter()
    session.prefill(TOKEN_IDS, CancelToken())
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
