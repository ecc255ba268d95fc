"""Editors that share an engine, and editors that each have one: `python -m benchmarks.sharing`.

So many engines are opened as each editor's server does, one after another, and somebody types in
each at the same time (benchmarks.typist, benchmarks.unread). `own` is `inkling lsp --no-share`.

    mebibytes   of all engine hosts together, at the end; what processes map alike counts once
    ready_ms    until the last of them could complete
    p50, p95    milliseconds from key to answer, over all keys
    model       share of keys that the model was asked for; others were known, or being written

Engines that are shared are those of a runtime folder of this run, and are ended behind it. The last
line is one JSON object.
"""

import asyncio
import contextlib
import os
import tempfile
from itertools import islice
from typing import Final

import click
import msgspec
import psutil
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.report import print_json, print_report, summary
from benchmarks.typist import Typist
from benchmarks.unread import Source, request_in, unread_files
from inference import Engine, EngineOptions, open_engine
from inference.timing import now_ms

MAX_TOKENS: Final = 64
FIRST_TEXT_MS: Final = 400
MIB: Final = 1 << 20


class Key(msgspec.Struct, frozen=True):
    ms: float
    asked_model: bool


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--editors", multiple=True, type=int, default=(1, 2, 5), show_default=True)
@click.option("--keys", default=40, show_default=True, help="Typed in each.")
def main(model: str | None, editors: tuple[int, ...], keys: int) -> None:
    figures = dict[str, dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        os.environ["XDG_RUNTIME_DIR"] = folder
        kinds = [(number, shared) for number in editors for shared in (False, True)]
        for number, shared in progress.track(kinds, description="typing"):
            options = EngineOptions(model=model, shared=shared)
            name = f"{number}, {'shared' if shared else 'own'}"
            figures[name] = asyncio.run(_measured(options, number, keys))
    columns = list(next(iter(figures.values())))
    rows = {name: [str(row[column]) for column in columns] for name, row in figures.items()}
    print_report(f"editors, {keys} keys in each at the same time", columns, rows)
    print_json("sharing", {"keys": keys, "editors": figures})


async def _measured(options: EngineOptions, number: int, num_keys: int) -> dict[str, float]:
    started, engines, hosts = now_ms(), list[Engine](), set[int]()
    for _ in range(number):
        engine = open_engine(options)
        status = await loaded(engine)
        engines.append(engine)
        hosts.add(status.process_id or 0)
    ready_ms = now_ms() - started
    sources = unread_files(-(-number // 4))
    typing = [
        _typed(engine, source, seed, num_keys)
        for seed, (engine, source) in enumerate(zip(engines, sources, strict=False))
    ]
    keys = [key for part in await asyncio.gather(*typing) for key in part]
    times = summary([key.ms for key in keys])
    memory = sum(_memory(psutil.Process(host)) for host in hosts)
    for engine in engines:
        await engine.close()
    for host in hosts:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(host).kill()
    return {
        "hosts": len(hosts),
        "mebibytes": round(memory / MIB),
        "ready_ms": round(ready_ms),
        "p50": round(times["median"], 1),
        "p95": round(times.get("p95", times["max"]), 1),
        "model": round(sum(key.asked_model for key in keys) / len(keys), 3),
    }


async def _typed(engine: Engine, source: Source, seed: int, num_keys: int) -> list[Key]:
    """Type, and wait for each answer."""
    typist, found = Typist(source.text, seed), list[Key]()
    for key in islice(typist.keystrokes(), num_keys):
        await asyncio.sleep(key.pause_ms / 1000)
        request = request_in(source, key.before, key.after, max_tokens=MAX_TOKENS)
        asked = now_ms()
        completion = await engine.complete(replace(request, first_text_ms=FIRST_TEXT_MS))
        found.append(Key(now_ms() - asked, completion.origin == "model"))
        typist.see(completion.text)
    return found


def _memory(process: psutil.Process) -> int:
    """Return what a process adds to the machine's memory, in bytes, as far as the system says."""
    found = process.memory_full_info()
    return getattr(found, "pss", 0) or found.uss


if __name__ == "__main__":
    main()
