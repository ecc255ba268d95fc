"""Compare shapes at equal compute, and write the table.

    python -m training.loop.trials trials.toml --petaflops 3

trials.toml names variations of one configuration:

    base = "nano"
    [schedule]
    batch_tokens = 2048
    [trial.wide]
    num_hidden_layers = 4
    moe_intermediate_size = 256
    [trial.again]
    seed = 1

[schedule] is for all trials, a trial's own table for its shape; two that differ in the seed alone
show how much of a difference is chance. Every trial gets as many steps as its forward and backward
passes have room for in the same number of operations, and the same documents. Writes
runs/trials/table.md.
"""

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from training.errors import TrainingError, tell
from training.loop import train
from training.loop.speed import flops_per_token
from training.model.configuration import Configuration, read_configuration

_HEAD = """\
| trial | parameters | active | steps | tokens | held out, bits per byte |
|---|--:|--:|--:|--:|--:|
"""


def variations(path: Path) -> Iterator[tuple[str, Configuration]]:
    """Yield the named configurations. Raises TrainingError for a file that is not understood."""
    table = tomllib.loads(path.read_text("utf-8"))
    if not isinstance(table.get("trial"), dict) or "base" not in table:
        raise TrainingError(
            f"{path} names no base or no [trial.NAME]; see python -m training.loop.trials -h"
        )
    base: dict[str, Any] = msgspec.to_builtins(read_configuration(table["base"]))
    schedule = {**base["schedule"], **table.get("schedule", {})}
    for name, changes in table["trial"].items():
        seed = changes.pop("seed", base["seed"])
        shape = {**base["shape"], **changes}
        varied = {**base, "seed": seed, "shape": shape, "schedule": schedule}
        yield name, msgspec.convert(varied, Configuration)


def steps_for(configuration: Configuration, flops: float) -> int:
    """Return how many steps fit into a number of operations."""
    schedule = configuration.schedule
    per_token = flops_per_token(configuration.shape, schedule.sequence_length)
    return max(1, int(flops / (per_token * schedule.batch_tokens)))


def to_toml(configuration: Configuration) -> str:
    """Write a configuration as its file: tables of plain values."""
    parts: Mapping[str, Any] = msgspec.to_builtins(configuration)
    seed = parts["seed"]
    lines = [f"seed = {seed}"]
    for table in ("shape", "schedule", "mixture"):
        lines += [f"\n[{table}]", *(f"{name} = {value}" for name, value in parts[table].items())]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.loop.trials", description=__doc__)
    parser.add_argument("trials", type=Path)
    parser.add_argument("--petaflops", type=float, required=True, help="for each trial")
    parser.add_argument("--runs", type=Path, default=train.RUNS_FOLDER / "trials")
    options, others = parser.parse_known_args(arguments)
    options.runs.mkdir(parents=True, exist_ok=True)
    head = f"{options.petaflops * 1000:g} * 10^12 operations each.\n\n{_HEAD}"
    rows: list[str] = []
    for name, configuration in variations(options.trials):
        file = options.runs / f"{name}.toml"
        file.write_text(to_toml(configuration), "utf-8")
        steps = steps_for(configuration, options.petaflops * 1e15)
        named = ["--run", name, "--runs", str(options.runs), "--steps", str(steps)]
        train.main([str(file), *named, *others])
        score = json.loads((options.runs / name / "validation.json").read_text("utf-8"))
        rows.append(_row(name, configuration, steps, score["bits_per_byte"]))
        (options.runs / "table.md").write_text(head + "".join(rows), "utf-8")
        print(rows[-1], end="")


def _row(name: str, configuration: Configuration, steps: int, bits_per_byte: float) -> str:
    shape = configuration.shape
    tokens = steps * configuration.schedule.batch_tokens
    return (
        f"| {name} | {shape.num_parameters / 1e6:.1f}M | {shape.num_active_parameters / 1e6:.1f}M "
        f"| {steps} | {tokens / 1e6:.1f}M | {bits_per_byte:.4f} |\n"
    )


if __name__ == "__main__":
    tell(main)
