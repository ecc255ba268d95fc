"""Where a suggestion ends: `python -m benchmarks.length [--model NAME]`.

Takes statements and blocks out of real files of four languages that no model of ours was trained on
(benchmarks.unread) and asks for each as an editor does, twice: as it is, and without the contract
of length, that is by indentation alone and as far as the model wrote.

    parses   the file with the answer in it has no more syntax errors than it had
    ends     the answer has as many lines as what stood there
    exact    it is what stood there
    lines    answers of two lines or more; "judged" are those that the policy shows

Answers do not depend on the machine's speed. `--keep FILE` goes on where it was; no text is kept.
"""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import click
import msgspec
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.kept import Kept
from benchmarks.report import print_json, print_report
from benchmarks.unread import request_in, unread_files
from evaluation.fill import DEADLINE_MS, answer
from evaluation.holes import KINDS, Hole, drawn_from
from evaluation.similarity import is_exact
from inference import syntax
from inference.completion import Completion, CompletionRequest, FinishReason, Scope, Unit
from inference.decoding import completer, stopping
from inference.decoding.soundness import Sound
from inference.serving.local import LocalEngine
from inference.syntax import Place
from lsp_server.policy.gate import Trigger
from lsp_server.policy.judge import Judge
from lsp_server.settings import Settings

MAX_TOKENS: Final = 128
ASKED_KINDS: Final = tuple(kind for kind in KINDS if kind.name in ("statement", "block"))

Contract = Literal["with", "without"]
CONTRACTS: Final[tuple[Contract, ...]] = ("with", "without")


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer was like; `num_lines` are those with something on them."""

    hole_id: str
    language: str
    kind: str
    contract: Contract
    num_lines: int
    parses: bool
    ends: bool
    exact: bool
    is_shown: bool


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--holes", "num_each", default=50, show_default=True, help="Of language and kind.")
@click.option("--files", "num_files", default=30, show_default=True, help="Of each language.")
@click.option("--keep", type=click.Path(dir_okay=False, path_type=Path), help="Goes on from it.")
def main(model: str | None, num_each: int, num_files: int, keep: Path | None) -> None:
    sources = unread_files(num_files)
    holes = [hole for kind in ASKED_KINDS for hole in drawn_from(sources, kind, num_each, seed=0)]
    ended = asyncio.run(_ask(model, holes, keep))
    rows = {
        f"{kind.name}, {contract}{judged}": _figures(
            [one for one in ended if (one.kind, one.contract) == (kind.name, contract)],
            is_judged=bool(judged),
        )
        for kind in ASKED_KINDS
        for contract in CONTRACTS
        for judged in ("", ", judged")
    }
    columns = list(next(iter(rows.values())))
    cells = {name: [_cell(value) for value in row.values()] for name, row in rows.items()}
    print_report(f"{len(holes)} holes of {len(sources)} files", columns, cells)
    print_json("length", {"holes": len(holes), "answers": rows})


def _figures(ended: Sequence[Ended], *, is_judged: bool) -> dict[str, float | int]:
    shown = [one for one in ended if one.num_lines and (one.is_shown or not is_judged)]
    lines = [one for one in shown if one.num_lines > 1]
    return {
        "answers": len(shown),
        "parses": _share([one.parses for one in shown]),
        "ends": _share([one.ends for one in shown]),
        "exact": _share([one.exact for one in shown]),
        "of lines": len(lines),
        "lines parse": _share([one.parses for one in lines]),
        "lines end": _share([one.ends for one in lines]),
    }


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _cell(value: float) -> str:
    return f"{value:.1%}" if isinstance(value, float) else str(value)


async def _ask(model: str | None, holes: Sequence[Hole], keep: Path | None) -> list[Ended]:
    kept = Kept(keep, Ended, lambda one: (one.hole_id, one.contract))
    engine = LocalEngine.open(model)
    status = await loaded(engine)
    ended = list[Ended]()
    with Progress() as progress:
        asked = list(itertools.product(holes, CONTRACTS))
        for hole, contract in progress.track(asked, description="answering"):
            found = kept.get((hole.digest, contract))
            if found is None:
                found = kept.add(await _answered(engine, hole, contract, status.model_bytes))
            ended.append(found)
    await engine.close()
    return ended


async def _answered(engine: LocalEngine, hole: Hole, contract: Contract, num_bytes: int) -> Ended:
    request = replace(
        request_in(hole.source, hole.prefix, hole.suffix, max_tokens=MAX_TOKENS),
        deadline_ms=DEADLINE_MS,
    )
    completer.sound, completer.unit_for = PARTS[contract]
    completion = await answer(engine, request)
    return _judged(hole, contract, request, completion, num_bytes)


def _judged(
    hole: Hole,
    contract: Contract,
    request: CompletionRequest,
    completion: Completion,
    num_bytes: int,
) -> Ended:
    text, language = completion.text, hole.source.language
    num_before = syntax.num_errors(hole.source.text, language) or 0
    num_after = syntax.num_errors(hole.prefix + text + hole.suffix, language) or 0
    judged = Judge().judge(
        Settings(), Trigger.AUTOMATIC, request, completion, model_bytes=num_bytes
    )
    return Ended(
        hole_id=hole.digest,
        language=language,
        kind=hole.kind.name,
        contract=contract,
        num_lines=_num_lines(text),
        parses=num_after <= num_before,
        ends=_num_lines(text) == _num_lines(hole.removed),
        exact=is_exact(text, hole.removed),
        is_shown=judged.silence is None,
    )


def _num_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


def _as_written(text: str, reason: FinishReason, place: Place | None) -> Sound:
    del reason
    return Sound(text, None if place is None or not text else place.check(text))


def _line_or_block(scope: Scope, syntax: object, prefix: str, suffix: str) -> Unit:
    del syntax
    unit = stopping.unit_for(scope, None, prefix, suffix)
    return "block" if unit == "statement" else unit


PARTS: Final = {
    "with": (completer.sound, completer.unit_for),
    "without": (_as_written, _line_or_block),
}


if __name__ == "__main__":
    main()
