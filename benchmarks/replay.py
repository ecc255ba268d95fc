"""What somebody who types feels: `python -m benchmarks.replay GGUF [--model NAME] [--files N]`.

Real files that no model of ours was trained on (benchmarks.unread), typed by benchmarks.typist, in
turns by Inkling's engine and by llama.cpp's server on the same weights. After each key the typist
waits for the answer, and at least as long as keys take, so both are asked the same way.

Inkling is asked as the language server asks it, in a process of its own. llama-server is asked as
llama.vim asks: 256 lines before the cursor and 64 behind it, at most 128 tokens and half a second
of writing. llama.vim also answers from what it was given before, as long as the text goes on like
it; so does this one, unless --no-peer-cache is given.

    p50, p95, p99   milliseconds from key to answer
    first           of the first key in a file and of the first behind a jump
    <=16 read       share of keys for which no more than 16 tokens were read
    right           share of keys after which the text on screen is what the file goes on with
    cache, joined   share of keys answered without asking the model for them
"""

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import click
import msgspec
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.kept import Kept
from benchmarks.peers import open_server
from benchmarks.plots import draw_curves, shares_below
from benchmarks.report import print_json, print_report
from benchmarks.typist import JUMP_MS, Keystroke, Typist
from benchmarks.unread import request_in, unread_files
from evaluation.sources import Source
from inference import (
    Engine,
    EngineOptions,
    FinishReason,
    open_engine,
)
from inference.runtime.processor import num_physical_cores
from lsp_server.settings import Settings

LINES_BEFORE: Final = 256
LINES_BEHIND: Final = 64
PEER_TOKENS: Final = 128
PEER_WRITING_MS: Final = 500
FEW_TOKENS: Final = 16
NUM_UNREAD: Final = 30
"""Files of each language, of which the first are typed into."""
INKLING: Final = "inkling"
PEER: Final = "llama-server"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was shown after a key. Tokens read are those that were not held."""

    text: str
    ms: float
    origin: str
    num_read: int
    num_written: int


class Felt(msgspec.Struct, frozen=True, kw_only=True):
    """One key, as its typist felt it."""

    answer: Answer
    is_right: bool
    is_jump: bool


class Typed(msgspec.Struct, frozen=True):
    """One line of what `--keep` writes: a file that was typed with an engine."""

    engine: str
    path: str
    round: int
    keys: list[Felt]


class Completing(Protocol):
    async def answer(self, key: Keystroke, source: Source) -> Answer: ...


@click.command()
@click.argument("gguf", type=click.Path(path_type=Path, exists=True))
@click.option("--model", default="qwen2.5-coder-0.5b", show_default=True)
@click.option("--files", "num_files", default=20, show_default=True)
@click.option("--rounds", default=1, show_default=True, help="Each types at other places.")
@click.option("--peer/--no-peer", default=True, show_default=True)
@click.option("--peer-cache/--no-peer-cache", default=True, show_default=True)
@click.option("--in-front", default=0, show_default=True, help="Characters of other files.")
@click.option("--max-keys", type=int, help="Of each file; all of its places if not given.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the times into this file.")
@click.option("--keep", type=click.Path(path_type=Path), help="Write keys down, or go on.")
def main(  # noqa: PLR0913 - one parameter an option
    gguf: Path,
    model: str,
    *,
    num_files: int,
    rounds: int,
    peer: bool,
    peer_cache: bool,
    in_front: int,
    max_keys: int | None,
    plot: Path | None,
    keep: Path | None,
) -> None:
    every = unread_files(NUM_UNREAD)
    sources = [_longer(source, every, in_front) for source in every[:num_files]]
    opened: dict[str, tuple[str, bool]] = {INKLING: (model, False)}
    if peer:
        opened[PEER] = (str(gguf), peer_cache)
    felt = _in_turns(opened, sources, rounds, max_keys, keep)
    if plot is not None:
        times = {name: [key.answer.ms for key in keys] for name, keys in felt.items()}
        curves = {name: shares_below(samples) for name, samples in times.items()}
        draw_curves(plot, curves, across="milliseconds", up="% of keys answered", is_log=True)
    figures = {name: figures_of(keys) for name, keys in felt.items()}
    columns = list(figures[INKLING])
    rows = {name: [str(row[column]) for column in columns] for name, row in figures.items()}
    print_report(f"{len(sources)} files, {rounds} rounds", columns, rows)
    ratios = {
        column: round(figures[INKLING][column] / value, 3)
        for column, value in figures.get(PEER, {}).items()
        if value
    }
    print_json(
        "replay",
        {"files": len(sources), "rounds": rounds, "engines": figures, "ratio_to_peer": ratios},
    )


def _longer(source: Source, others: Sequence[Source], num_characters: int) -> Source:
    """Put other files of its language in front of a file, so many characters of them."""
    front = "\n".join(
        other.text
        for other in others
        if other.language == source.language and other.path != source.path
    )
    return msgspec.structs.replace(source, text=front[:num_characters] + source.text)


def figures_of(keys: Sequence[Felt]) -> dict[str, float]:
    times = sorted(key.answer.ms for key in keys)
    jumps = sorted(key.answer.ms for key in keys if key.is_jump)
    asked = [key for key in keys if key.answer.origin == "model"]
    return {
        "keys": len(keys),
        "p50": _rank(times, 50),
        "p95": _rank(times, 95),
        "p99": _rank(times, 99),
        "model_p50": _rank(sorted(key.answer.ms for key in asked), 50),
        "cache_p95": _rank(sorted(k.answer.ms for k in keys if k.answer.origin == "cache"), 95),
        "first_p50": _rank(jumps, 50),
        "first_max": jumps[-1],
        "few_read": _share(keys, [key.answer.num_read <= FEW_TOKENS for key in keys]),
        "cache": _share(keys, [key.answer.origin == "cache" for key in keys]),
        "joined": _share(keys, [key.answer.origin == "joined" for key in keys]),
        "right": _share(keys, [key.is_right for key in keys]),
        "shown": _share(keys, [bool(key.answer.text.strip()) for key in keys]),
        "read_a_key": round(sum(key.answer.num_read for key in keys) / len(keys), 1),
        "written_a_key": round(sum(key.answer.num_written for key in keys) / len(keys), 1),
    }


def _rank(ordered: Sequence[float], percent: int) -> float:
    """Return the percentile by nearest rank; 0 of nothing."""
    return round(ordered[-(-len(ordered) * percent // 100) - 1], 1) if ordered else 0.0


def _share(keys: Sequence[Felt], hits: Sequence[bool]) -> float:
    return round(sum(hits) / max(1, len(keys)), 3)


def _in_turns(
    opened: Mapping[str, tuple[str, bool]],
    sources: Sequence[Source],
    rounds: int,
    max_keys: int | None,
    keep: Path | None,
) -> dict[str, list[Felt]]:
    """Have every file typed with each engine, in a process of its own, one after the other."""
    kept = Kept(keep, Typed, lambda one: (one.engine, one.path, one.round))
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        processes = {
            name: stack.enter_context(
                ProcessPoolExecutor(
                    1, context, initializer=_open, initargs=(name, model, has_cache)
                )
            )
            for name, (model, has_cache) in opened.items()
        }
        task = progress.add_task("typing", total=rounds * len(sources) * len(opened))
        for number in range(rounds):
            for index, source in enumerate(sources):
                turn = list(processes.items())
                for name, process in turn if (number + index) % 2 else reversed(turn):
                    place = (name, source.path, number)
                    if place not in kept:
                        keys = process.submit(_type, source, number, max_keys).result()
                        kept.add(Typed(name, source.path, number, keys))
                    progress.advance(task)
    wanted = [(source.path, number) for number in range(rounds) for source in sources]
    return {name: [key for place in wanted for key in kept[(name, *place)].keys] for name in opened}


class _Opened:
    """The engine of this process, and the loop that it runs in."""

    engine: Completing
    loop: asyncio.AbstractEventLoop


def _open(name: str, model: str, has_cache: bool) -> None:
    _Opened.loop = asyncio.new_event_loop()
    _Opened.engine = _Opened.loop.run_until_complete(
        _inkling(model) if name == INKLING else _peer(model, has_cache=has_cache)
    )


def _type(source: Source, seed: int, max_keys: int | None) -> list[Felt]:
    return _Opened.loop.run_until_complete(_typed(source, seed, max_keys))


async def _typed(source: Source, seed: int, max_keys: int | None) -> list[Felt]:
    typist, felt = Typist(source.text, seed), list[Felt]()
    answered = time.perf_counter()
    for key in islice(typist.keystrokes(), max_keys):
        waits = key.pause_ms / 1000 - (time.perf_counter() - answered)
        await asyncio.sleep(max(0.0, waits))
        answer = await _Opened.engine.answer(key, source)
        answered = time.perf_counter() - answer.ms / 1000  # a key takes as long as it takes
        felt.append(
            Felt(
                answer=answer,
                is_right=typist.see(answer.text),
                is_jump=key.pause_ms == JUMP_MS,
            )
        )
    return felt


async def _inkling(model: str) -> "Completing":
    engine = open_engine(EngineOptions(model=model))
    await loaded(engine)
    return InklingTypedInto(engine)


class InklingTypedInto:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def answer(self, key: Keystroke, source: Source) -> Answer:
        settings = Settings()
        request = msgspec.structs.replace(
            request_in(source, key.before, key.after, max_tokens=settings.max_tokens),
            deadline_ms=settings.deadline_ms,
            first_text_ms=settings.first_text_ms,
        )
        started = time.perf_counter()
        found = await self._engine.complete(request)
        milliseconds = 1000 * (time.perf_counter() - started)
        if found.finish_reason in (FinishReason.FAILED, FinishReason.UNAVAILABLE):
            raise click.ClickException(f"no answer in {source.path}: {found.finish_reason}")
        return Answer(
            text=found.text,
            ms=milliseconds,
            origin=found.origin,
            num_read=found.tokens.prompt - found.tokens.reused if found.origin == "model" else 0,
            num_written=found.tokens.generated,
        )


async def _peer(path: str, *, has_cache: bool) -> "Completing":
    server = open_server(Path(path), num_threads=num_physical_cores())
    return PeerTypedInto(server.listening_address, server, has_cache=has_cache)


class PeerTypedInto:
    """llama-server's /infill, asked as llama.vim does (autoload/llama.vim)."""

    def __init__(self, address: str, server: object, *, has_cache: bool) -> None:
        self._address = address
        self._server = server  # it ends with the last reference to it
        self._has_cache = has_cache
        self._known = ("", "", "")  # where the last answer was for, and what it was

    async def answer(self, key: Keystroke, source: Source) -> Answer:
        started = time.perf_counter()
        known = self._from_before(key) if self._has_cache else ""
        if known:
            found = Answer(text=known, ms=0.0, origin="cache", num_read=0, num_written=0)
        else:
            found = await asyncio.to_thread(self._asked, key)
            self._known = (key.before, key.after, found.text)
        return msgspec.structs.replace(found, ms=1000 * (time.perf_counter() - started))

    def _from_before(self, key: Keystroke) -> str:
        before, after, text = self._known
        typed = key.before[len(before) :]
        is_there = key.before.startswith(before) and key.after == after
        return text[len(typed) :] if is_there and text.startswith(typed) else ""

    def _asked(self, key: Keystroke) -> Answer:
        *above, line = key.before.split("\n")
        rest, *below = key.after.split("\n")
        asked: dict[str, Any] = {
            "input_prefix": "".join(f"{one}\n" for one in above[-LINES_BEFORE:]),
            "prompt": line,
            "input_suffix": "\n".join([rest, *below[:LINES_BEHIND]]) + "\n",
            "n_indent": len(line) - len(line.lstrip()),
            "n_predict": PEER_TOKENS,
            "top_k": 40,
            "top_p": 0.9,
            "samplers": ["top_k", "top_p", "infill"],
            "stream": False,
            "cache_prompt": True,
            "t_max_prompt_ms": PEER_WRITING_MS,
            "t_max_predict_ms": PEER_WRITING_MS,
        }
        request = urllib.request.Request(  # noqa: S310 - this process's own server
            f"{self._address}/infill",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            found = json.load(answer)
        timings = found["timings"]
        return Answer(
            text=found["content"].rstrip(),
            ms=0.0,
            origin="model",
            num_read=timings["prompt_n"],
            num_written=timings["predicted_n"],
        )


if __name__ == "__main__":
    main()
