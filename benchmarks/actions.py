"""How well code actions do on real code: `python -m benchmarks.actions [--model NAME]`.

In files that no model of ours was trained on (benchmarks.unread), something is taken away or broken
and the action is asked to bring it back. Whole functions of up to twelve lines.

    body        the body is replaced by a stub
    docstring   the documentation is taken away
    types       all types of a Python function are taken away
    name        a name is misspelt, and a diagnostic says that it is not defined
    syntax      the colon or bracket at the end of a line is taken away, and a diagnostic says so
    explain     nothing: an explanation is asked for

    offered     share of the places where the action was offered
    came        share where something came that may be applied: it adds no syntax errors
    same        share where the file is as it was, blanks aside; of types, the share of those
    seconds     from choosing it to the edit, median

Whether words are good is nothing that a program can say: of docstring and explain only that they
came. With --show the outcomes are printed.
"""

import ast
import asyncio
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Final

import click
import msgspec
from lsprotocol.types import PositionEncodingKind
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.report import print_json, print_report
from benchmarks.unread import unread_files
from evaluation.sources import Source
from inference import Engine, EngineOptions, open_engine
from lsp_server.actions import ACTIONS
from lsp_server.actions.action import Edit, Shown
from lsp_server.actions.definitions import Definition, definition_at
from lsp_server.documents import Document
from lsp_server.features.asking import EngineAsk
from lsp_server.features.code_action import site_in
from lsp_server.lines import Lines

MAX_LINES: Final = 12
NUM_FILES: Final = 12
TYPED: Final = re.compile(r":\s*[\w\[\], .|\"']+(?=[,)=])|\s*->\s*[\w\[\], .|\"']+(?=:)")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A broken text, where the cursor is, what was broken, and the text as it was."""

    kind: str
    action: str
    language: str
    text: str
    cursor: int
    original: str
    flagged: tuple[tuple[int, int, str], ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    is_offered: bool = False
    came: bool = False
    same: float = 0.0
    seconds: float = 0.0


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--cases", "num_cases", default=24, show_default=True, help="Of each kind.")
@click.option("--show", is_flag=True, help="Print what came.")
def main(model: str | None, num_cases: int, *, show: bool) -> None:
    found = [case for source in unread_files(NUM_FILES) for case in cases(source)]
    chooser = random.Random(0)  # noqa: S311 - a sample of places
    chosen: list[Case] = []
    for kind in MAKERS:
        of_kind = [case for case in found if case.kind == kind]
        chosen += chooser.sample(of_kind, min(num_cases, len(of_kind)))
    outcomes = asyncio.run(_computed(model, chosen, show=show))
    rows: dict[str, list[str]] = {}
    figures: dict[str, dict[str, float]] = {}
    for kind in MAKERS:
        of_kind = [outcome for outcome in outcomes if outcome.kind == kind]
        if of_kind:
            figures[kind] = _figures(of_kind)
            rows[kind] = [
                str(len(of_kind)),
                *(f"{figures[kind][name]:.0%}" for name in ("offered", "came", "same")),
                f"{figures[kind]['seconds']:.2f}",
            ]
    print_report("code actions", ["cases", "offered", "came", "same", "seconds"], rows)
    print_json("actions", {"model": model, "kinds": figures})


def _figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    times = [outcome.seconds for outcome in outcomes if outcome.is_offered]
    return {
        "offered": sum(outcome.is_offered for outcome in outcomes) / len(outcomes),
        "came": sum(outcome.came for outcome in outcomes) / len(outcomes),
        "same": sum(outcome.same for outcome in outcomes) / len(outcomes),
        "seconds": median(times) if times else 0.0,
    }


async def _computed(model: str | None, chosen: Sequence[Case], *, show: bool) -> list[Outcome]:
    engine = open_engine(EngineOptions(model=model))
    await loaded(engine)
    with Progress() as progress:
        outcomes = [
            await _outcome(engine, case, show=show)
            for case in progress.track(chosen, description="acting")
        ]
    await engine.close()
    return outcomes


async def _outcome(engine: Engine, case: Case, *, show: bool) -> Outcome:
    action = next(action for action in ACTIONS if action.name == case.action)
    lines = Lines.of(case.text)
    document = Document("file:///a", case.language, 1, lines, PositionEncodingKind.Utf16)
    base, site = site_in(document, case.cursor, case.cursor, case.flagged)
    titles = action.titles(site)
    status = engine.status()
    if not titles or (action.is_instructed and not status.follows_instructions):
        return Outcome(kind=case.kind)
    started = time.perf_counter()
    outcome = await action.compute(site, titles[0][1], EngineAsk(engine, document))
    seconds = time.perf_counter() - started
    if show:
        print(f"--- {case.kind}\n{getattr(outcome, 'text', None)}")
    match outcome:
        case Edit(start=start, end=end, text=text):
            edited = case.text[: base + start] + text + case.text[base + end :]
            same = _same(case, edited)
            return Outcome(kind=case.kind, is_offered=True, came=True, same=same, seconds=seconds)
        case Shown():
            return Outcome(kind=case.kind, is_offered=True, came=True, seconds=seconds)
        case _:
            return Outcome(kind=case.kind, is_offered=True, seconds=seconds)


def _same(case: Case, edited: str) -> float:
    if case.kind != "types":
        return float("".join(edited.split()) == "".join(case.original.split()))
    wanted = TYPED.findall(_header(case.original, case.cursor))
    written = TYPED.findall(_header(edited, case.cursor))
    pairs = zip(map(str.split, wanted), map(str.split, written), strict=False)
    return sum(one == other for one, other in pairs) / max(1, len(wanted))


def _header(text: str, cursor: int) -> str:
    return text[cursor : text.find("\n", cursor)]


def cases(source: Source) -> Iterator[Case]:
    """Yield what can be broken in a file, of each kind at one place."""
    chooser = random.Random(source.path)  # noqa: S311 - a sample of places
    functions = list(_functions(source.text))
    chooser.shuffle(functions)
    for kind, make in MAKERS.items():
        for found in functions:
            case = make(source, found, chooser)
            if case is not None:
                yield msgspec.structs.replace(case, kind=kind)
                break


def _functions(text: str) -> Iterator[Definition]:
    seen = set[int]()
    for match in re.finditer(r"\n(?=[^\n]*\()", text):
        found = definition_at(text, match.end())
        if found is None or found.start in seen:
            continue
        seen.add(found.start)
        num_lines = found.text_in(text).count("\n")
        if 1 <= num_lines <= MAX_LINES and found.body < found.end:
            yield found


def _body(source: Source, found: Definition, _chooser: random.Random) -> Case | None:
    body = source.text[found.body : found.end]
    if source.language != _PYTHON or '"""' in body:
        return None
    indent = body[: len(body) - len(body.lstrip())]
    text = source.text[: found.body] + f"{indent}pass" + source.text[found.end :]
    return _case("completeBody", source, text, found.body)


def _docstring(source: Source, found: Definition, _chooser: random.Random) -> Case | None:
    match = re.compile(r'[ \t]*"""[^"]*"""[ \t]*\n').match(source.text, found.body)
    if match is None or match.end() >= found.end:
        return None
    text = source.text[: match.start()] + source.text[match.end() :]
    return _case("writeDocstring", source, text, found.start)


def _types(source: Source, found: Definition, _chooser: random.Random) -> Case | None:
    header = _header(source.text, found.start)
    if not re.search(r"def .*\).*->.*:$", header) or len(TYPED.findall(header)) < 2:
        return None
    text = source.text[: found.start] + TYPED.sub("", header)
    text += source.text[found.start + len(header) :]
    try:
        ast.parse(text)
    except SyntaxError:
        return None
    return _case("annotate", source, text, found.start)


def _name(source: Source, found: Definition, chooser: random.Random) -> Case | None:
    body = source.text[found.body : found.end]
    names = [match for match in re.finditer(r"[a-z_]{5,}", body) if body.count(match[0]) > 1]
    if not names:
        return None
    match = names[-1]
    place = chooser.randrange(1, len(match[0]) - 2)
    letters = list(match[0])
    letters[place], letters[place + 1] = letters[place + 1], letters[place]
    wrong, start = "".join(letters), found.body + match.start()
    if wrong == match[0]:
        return None
    text = source.text[:start] + wrong + source.text[start + len(wrong) :]
    said = f"undefined name '{wrong}'"
    return _case("fix", source, text, start, ((start, start + len(wrong), said),))


def _syntax(source: Source, found: Definition, _chooser: random.Random) -> Case | None:
    match = re.compile(r"[:)\]](?=\n)").search(source.text, found.body, found.end)
    if match is None or source.language != _PYTHON:
        return None
    text = source.text[: match.start()] + source.text[match.end() :]
    start = source.text.rfind("\n", 0, match.start()) + 1
    said = f"SyntaxError: expected '{match[0]}'"
    return _case("fix", source, text, match.start(), ((start, match.start(), said),))


def _explain(source: Source, found: Definition, _chooser: random.Random) -> Case | None:
    return _case("explain", source, source.text, found.body)


def _case(
    action: str,
    source: Source,
    text: str,
    cursor: int,
    flagged: tuple[tuple[int, int, str], ...] = (),
) -> Case:
    return Case(
        kind="",
        action=action,
        language=source.language,
        text=text,
        cursor=cursor,
        original=source.text,
        flagged=flagged,
    )


_PYTHON: Final = "python"

MAKERS: Final[dict[str, Callable[[Source, Definition, random.Random], Case | None]]] = {
    "body": _body,
    "docstring": _docstring,
    "types": _types,
    "name": _name,
    "syntax": _syntax,
    "explain": _explain,
}


if __name__ == "__main__":
    main()
