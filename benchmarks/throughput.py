"""One engine and many who ask it: `python -m benchmarks.throughput [--model NAME]`.

So many clients type into files of their own (benchmarks.typist, benchmarks.unread), each key as
soon as the last was answered, for some seconds. One engine host answers all of them; what one
client holds is nobody else's, as in a team.

    answers_per_s   all clients together
    p50, p95        milliseconds from key to answer
    unanswered      share of keys whose time was over, or that another took the place of

Somebody who types asks some three times a second and waits; these ask as fast as they are answered,
so a client stands for several people. The last line is one JSON object; `--plot FILE` draws both.
"""

import asyncio
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.plots import draw_curves
from benchmarks.report import print_json, print_report, summary
from benchmarks.typist import Typist
from benchmarks.unread import Source, request_in, unread_files
from inference import Engine, EngineOptions, FinishReason, open_engine, owned
from inference.timing import now_ms

MAX_TOKENS: Final = 64
FIRST_TEXT_MS: Final = 400

GIVEN_UP: Final = frozenset(
    {FinishReason.DEADLINE, FinishReason.SUPERSEDED, FinishReason.UNAVAILABLE, FinishReason.FAILED}
)


class Key(msgspec.Struct, frozen=True):
    ms: float
    is_answered: bool


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--clients", multiple=True, type=int, default=(1, 2, 4, 8, 16, 32, 64))
@click.option("--seconds", default=20.0, show_default=True, help="For each number of clients.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the curves into this file.")
def main(model: str | None, clients: tuple[int, ...], seconds: float, plot: Path | None) -> None:
    figures = dict[int, dict[str, float]]()
    with Progress() as progress:
        for number in progress.track(clients, description="typing"):
            figures[number] = asyncio.run(_measured(model, number, seconds))
    columns = list(next(iter(figures.values())))
    rows = {str(number): [str(row[name]) for name in columns] for number, row in figures.items()}
    print_report(f"clients of one engine, {seconds:g} s each", columns, rows)
    if plot is not None:
        curves = {
            name: (list(figures), [row[name] for row in figures.values()])
            for name in ("answers_per_s", "p95")
        }
        draw_curves(plot, curves, across="clients", up="answers a second; ms at p95")
    print_json("throughput", {"seconds": seconds, "clients": figures})


async def _measured(model: str | None, number: int, seconds: float) -> dict[str, float]:
    engine = open_engine(EngineOptions(model=model))
    await loaded(engine)
    sources = unread_files(4)
    until_ms = now_ms() + 1000 * seconds
    typing = [
        _typed(engine, source, client, until_ms)
        for client, source in enumerate(islice(cycle(sources), number))
    ]
    started = now_ms()
    keys = [key for part in await asyncio.gather(*typing) for key in part]
    took_s = (now_ms() - started) / 1000
    await engine.close()
    times = summary([key.ms for key in keys])
    return {
        "answers_per_s": round(sum(key.is_answered for key in keys) / took_s, 1),
        "p50": round(times["median"], 1),
        "p95": round(times.get("p95", times["max"]), 1),
        "unanswered": round(sum(not key.is_answered for key in keys) / len(keys), 4),
    }


async def _typed(engine: Engine, source: Source, client: int, until_ms: float) -> list[Key]:
    """Type the file again and again, each time in other places."""
    found = list[Key]()
    seed = client
    while now_ms() < until_ms:
        typist = Typist(source.text, seed)
        seed += 1000
        for key in typist.keystrokes():
            request = request_in(source, key.before, key.after, max_tokens=MAX_TOKENS)
            document = owned(str(client), request.document)
            asked = now_ms()
            completion = await engine.complete(
                replace(request, document=document, first_text_ms=FIRST_TEXT_MS)
            )
            is_answered = completion.finish_reason not in GIVEN_UP
            found.append(Key(now_ms() - asked, is_answered))
            typist.see(completion.text)
            if now_ms() >= until_ms:
                break
    return found


if __name__ == "__main__":
    main()
