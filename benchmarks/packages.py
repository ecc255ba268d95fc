"""Packages of one checkpoint, side by side: `python -m benchmarks.packages CHECKPOINT PROBLEMS`.

Exports each way of rounding that is worth a thought for a model not trained for any, into --folder,
where packages and figures are kept: a run that was broken off goes on. PROBLEMS is the file of
human-eval-infilling. It prints a table and, as its last line, one JSON object; `--write` puts the
table into docs/quantization.md.

    megabytes       the package
    agreement, perplexity_ratio, divergence
                    against the checkpoint as its own integers stand for it, over --tokens tokens of
                    held-out code (benchmarks.quality)
    ms_a_token      one token more behind 512, tokens_per_s: reading 512; packages in turns
    pass@1, exact   HumanEval's single-line holes, --max-holes of them
    minutes         from checkpoint to package, with the check that every export ends with
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.progress import Progress

from benchmarks import decode
from benchmarks.infilling import Kind, fill_in_turns, sampled, solved
from benchmarks.quality import DOCUMENT, WINDOW, held_out_text
from benchmarks.report import print_json, print_report, write_table
from export.options import ExportOptions
from export.original import open_original
from export.pipeline import export_checkpoint
from export.quality.gate import compare_with, states_of
from export.quality.reader import open_reader
from inference.package.manifest import TOKENIZER_FILE, read_manifest
from inference.runtime.tokenizer import Tokenizer

COMMAND: Final = "python -m benchmarks.packages CHECKPOINT PROBLEMS --write"

VARIANTS: Final[Mapping[str, ExportOptions]] = {
    "int8, 32": ExportOptions(precision="int8", block_size=32, rounding="nearest"),
    "int8, 128": ExportOptions(precision="int8", block_size=128, rounding="nearest"),
    "int4, nearest, 32": ExportOptions(block_size=32, rounding="nearest"),
    "int4, nearest, 64": ExportOptions(block_size=64, rounding="nearest"),
    "int4, nearest, 128": ExportOptions(block_size=128, rounding="nearest"),
    "int4, gptq, 32": ExportOptions(block_size=32, rounding="gptq"),
    "int4, gptq, 64": ExportOptions(block_size=64, rounding="gptq"),
    "int4, gptq, 128": ExportOptions(block_size=128, rounding="gptq"),
    "int4, gptq, 64, zero points": ExportOptions(block_size=64, rounding="gptq", zero_points=True),
    "int4, gptq, 128, zero points": ExportOptions(
        block_size=128, rounding="gptq", zero_points=True
    ),
    "int4, weighted, 64, zero points": ExportOptions(
        block_size=64, rounding="weighted", zero_points=True
    ),
    "int4, weighted, 128, zero points": ExportOptions(
        block_size=128, rounding="weighted", zero_points=True
    ),
    "int4-quality, nearest, 64": ExportOptions(
        precision="int4-quality", block_size=64, rounding="nearest"
    ),
}

Figures = dict[str, Any]


@click.command()
@click.argument("checkpoint")
@click.argument("problems", type=click.Path(path_type=Path, exists=True))
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="Kept packages.")
@click.option("--only", multiple=True, help="Measure only these variants.")
@click.option("--tokens", default=20_000, show_default=True, help="Tokens of code to read.")
@click.option("--max-holes", type=int, help="A sample of so many; all 1,033 if not given.")
@click.option("--rounds", default=5, show_default=True, help="Of the measurement of speed.")
@click.option("--write", is_flag=True, help="Put the table into docs/quantization.md.")
def main(  # noqa: PLR0913 - one parameter an option
    checkpoint: str,
    problems: Path,
    *,
    folder: Path,
    only: tuple[str, ...],
    tokens: int,
    max_holes: int | None,
    rounds: int,
    write: bool,
) -> None:
    names = list(only or VARIANTS)
    packages = {name: folder / name.replace(", ", "-").replace(" ", "_") for name in names}
    figures = {name: _exported(checkpoint, VARIANTS[name], packages[name]) for name in names}
    _add_agreement(checkpoint, packages, figures, tokens)
    speeds = decode.measure_in_turns(
        [decode.Kind(package) for package in packages.values()], rounds
    )
    for name, speed in zip(names, speeds, strict=True):
        figures[name]["ms a token"] = round(speed["decode_ms_at_512"]["median"], 1)
        figures[name]["tokens/s"] = round(speed["prefill_tokens_per_s_at_512"]["median"])
    holes = sampled(problems, max_holes)
    for name, package in packages.items():  # one at a time: each takes a gigabyte
        made = fill_in_turns([Kind(str(package))], holes, package.with_suffix(".jsonl"))
        for found in solved(made).values():
            figures[name]["pass@1"] = round(100 * (found["pass_at_1"] or 0), 1)
            figures[name]["exact"] = round(100 * (found["exact_match"] or 0), 1)
    columns = list(next(iter(figures.values())))
    rows = {name: [str(row[column]) for column in columns] for name, row in figures.items()}
    title = f"`{Path(checkpoint).name}`, {tokens} tokens of held-out code, {len(holes)} holes."
    print_report(title, columns, rows)
    if write:
        write_table(DOCUMENT, COMMAND, title, columns, rows)
    print_json("packages", {"tokens": tokens, "holes": len(holes), "variants": figures})


def _exported(checkpoint: str, options: ExportOptions, package: Path) -> Figures:
    """Export a package unless it is there; return its size, and the minutes that it took."""
    kept = package.with_suffix(".json")
    if not kept.exists():
        options = msgspec.structs.replace(options, accept_quality=True)
        started = time.perf_counter()
        with Progress() as progress:
            task = progress.add_task(package.name)
            export_checkpoint(
                checkpoint,
                package,
                options,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        minutes = round((time.perf_counter() - started) / 60, 1)
        megabytes = round(read_manifest(package).num_bytes / 1e6)
        kept.write_bytes(msgspec.json.encode({"megabytes": megabytes, "minutes": minutes}))
    return msgspec.json.decode(kept.read_bytes())


def _add_agreement(
    checkpoint: str,
    packages: Mapping[str, Path],
    figures: Mapping[str, Figures],
    num_tokens: int,
) -> None:
    """Read the text with every package; the original reads it once."""
    first = next(iter(packages.values()))
    end_token, *_ = read_manifest(first).eos_token_ids
    text = held_out_text(Tokenizer.load(first / TOKENIZER_FILE), end_token, num_tokens, WINDOW)
    spec, values = open_original(checkpoint)
    states = states_of(spec, values, text)
    for name, package in packages.items():
        with open_reader(package, read_manifest(package)) as reader:
            found = compare_with(reader, spec, values, text, states)
        figures[name]["agreement"] = round(100 * found.agreement, 1)
        figures[name]["perplexity ratio"] = round(found.perplexity_ratio, 3)
        figures[name]["divergence"] = round(found.divergence, 3)


if __name__ == "__main__":
    main()
