"""Memory while one types on and on: `python -m benchmarks.memory [--model NAME]`.

The engine host answers completions at places all over real files (benchmarks.unread), in several
documents by turns, and its resident memory is read after every hundredth. Growth counts from the
point at which each session has been full once. The last line is one JSON object; `--plot FILE`
draws the curve.
"""

import asyncio
import random
from pathlib import Path
from typing import Final

import click
import psutil
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.plots import draw_curves
from benchmarks.report import print_json
from benchmarks.unread import request_in, unread_files
from inference import EngineOptions, EngineState, open_engine

NUM_DOCUMENTS: Final = 8
EVERY: Final = 100
SETTLED: Final = 0.2
"""Of the completions: sessions and buffers are full by then."""

MAX_TOKENS: Final = 16
FIRST_TEXT_MS: Final = 100
"""Places are far apart, and all that fits into this time is read at each."""
MIB: Final = 1 << 20


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--completions", default=10_000, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the curve into this file.")
def main(model: str | None, completions: int, plot: Path | None) -> None:
    samples = asyncio.run(_measured(model, completions))
    settled = samples[int(SETTLED * len(samples)) :]
    if plot is not None:
        curve = ([EVERY * index for index in range(len(samples))], samples)
        draw_curves(plot, {"engine host": curve}, across="completions", up="MiB resident")
    print_json(
        "memory",
        {
            "completions": completions,
            "resident_mib": {"first": samples[0], "settled": settled[0], "last": samples[-1]},
            "growth_mib": round(settled[-1] - settled[0], 2),
            "largest_mib": max(samples),
        },
    )


async def _measured(model: str | None, completions: int) -> list[float]:
    engine = open_engine(EngineOptions(model=model))
    status = await engine.wait_ready()
    if status.state is not EngineState.READY or status.process_id is None:
        raise click.ClickException(status.message)
    process = psutil.Process(status.process_id)
    chooser = random.Random(0)  # noqa: S311 - places
    sources = unread_files(NUM_DOCUMENTS // 4)
    samples = [process.memory_info().rss / MIB]
    with Progress() as progress:
        for number in progress.track(range(1, completions + 1), description="completing"):
            source = chooser.choice(sources)
            place = chooser.randrange(len(source.text))
            before, after = source.text[:place], source.text[place:]
            request = request_in(source, before, after, max_tokens=MAX_TOKENS)
            await engine.complete(replace(request, first_text_ms=FIRST_TEXT_MS))
            if number % EVERY == 0:
                samples.append(round(process.memory_info().rss / MIB, 2))
    await engine.close()
    return samples


if __name__ == "__main__":
    main()
