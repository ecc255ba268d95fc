"""Choose which pieces of real files are taken out, the same for every model.

Pure: the same files, count and seed give the same holes, on every machine.
A kind of hole is a row of KINDS: its name, how much the engine may write, and where it can stand.
"""

import hashlib
import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from evaluation.sources import Source
from inference import syntax
from inference.completion import Scope
from inference.syntax import Span

MAX_HOLE_CHARACTERS: Final = 400
"""Nobody waits for more; at 3 to 4 characters a token it is what 128 tokens write."""

_LINE: Final = re.compile(r"[^\r\n]*\w[^\r\n]*")
"""A line with a word in it: blank lines and lone brackets ask for nothing."""


class HoleKind(msgspec.Struct, frozen=True):
    name: str
    scope: Scope
    spans: Callable[[Source], Iterable[Span]]


class Hole(msgspec.Struct, frozen=True):
    source: Source
    kind: HoleKind
    span: Span

    @property
    def prefix(self) -> str:
        return self.source.text[: self.span.start]

    @property
    def removed(self) -> str:
        return self.source.text[self.span.start : self.span.end]

    @property
    def suffix(self) -> str:
        return self.source.text[self.span.end :]

    @property
    def digest(self) -> str:
        """Name the hole by its texts, so that two runs can tell whether they had the same ones."""
        return _digest(self.kind.name, self.prefix, self.removed, self.suffix)[:16]


def line_tails(source: Source) -> Iterable[Span]:
    """Yield the rest of a line from each character behind its first: wherever one types."""
    for line in lines(source):
        yield from (Span(start, line.end) for start in range(line.start + 1, line.end))


def lines(source: Source) -> Iterable[Span]:
    """Yield each line without its indentation, which an editor has already written."""
    for match in _LINE.finditer(source.text):
        line = match.group()
        start = match.start() + len(line) - len(line.lstrip())
        yield Span(start, match.start() + len(line.rstrip()))


def statements(source: Source) -> Iterable[Span]:
    """Return each statement without a block in it, on one line or several."""
    return syntax.statements(source.text, source.language)


def blocks(source: Source) -> Iterable[Span]:
    """Yield what stands in each block of two lines or more."""
    for block in syntax.blocks(source.text, source.language):
        if "\n" in source.text[block.start : block.end]:
            yield block


KINDS: Final = (
    HoleKind("line_tail", "line", line_tails),
    HoleKind("line", "line", lines),
    HoleKind("statement", "statement", statements),
    HoleKind("block", "block", blocks),
)


def cut_holes(sources: Sequence[Source], *, max_holes: int, seed: int) -> list[Hole]:
    """Draw at most `max_holes` holes, by turns from each language and kind, and there by file.

    They come in random order, so that one hole's context seldom warms the next one's.
    """
    languages = sorted({source.language for source in sources})
    strata = [_stratum(sources, language, kind, seed) for language in languages for kind in KINDS]
    chosen = list(itertools.islice(_in_turns(strata), max_holes))
    random.Random(f"{seed}/order").shuffle(chosen)  # noqa: S311 - no secret
    return chosen


def drawn_from(
    sources: Sequence[Source], kind: HoleKind, num_each: int, *, seed: int
) -> list[Hole]:
    """Draw so many holes of one kind from each language, file by file."""
    languages = sorted({source.language for source in sources})
    strata = (_stratum(sources, language, kind, seed) for language in languages)
    return [hole for stratum in strata for hole in itertools.islice(stratum, num_each)]


def _stratum(sources: Sequence[Source], language: str, kind: HoleKind, seed: int) -> Iterator[Hole]:
    """Yield the holes of one language and kind, file by file in turns; read as far as needed."""
    members = [source for source in sources if source.language == language]
    # Where a file lies does not matter, so that holes are the same on every machine.
    members.sort(key=lambda source: _digest(str(seed), source.text))
    return _in_turns([_drawn(source, kind, seed) for source in members])


def _in_turns(groups: Iterable[Iterator[Hole]]) -> Iterator[Hole]:
    """Yield the first of each group, the second of each, and so on."""
    pending = list(groups)
    while pending:
        unfinished: list[Iterator[Hole]] = []
        for group in pending:
            for hole in itertools.islice(group, 1):
                yield hole
                unfinished.append(group)
        pending = unfinished


def _drawn(source: Source, kind: HoleKind, seed: int) -> Iterator[Hole]:
    spans = [
        span
        for span in kind.spans(source)
        # a hole at the very beginning has nothing to go by
        if span.start > 0 and 0 < span.end - span.start <= MAX_HOLE_CHARACTERS
    ]
    random.Random(_digest(str(seed), kind.name, source.text)).shuffle(spans)  # noqa: S311
    yield from (Hole(source, kind, span) for span in spans)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
