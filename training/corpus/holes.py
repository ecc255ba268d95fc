"""Cut holes into documents and lay them out as the model will see them when it completes.

Whole documents in, token ids out. The layout is inference.fim's, the very code serving uses
(invariant 17); prefix, middle and suffix are tokenized apart, as serving tokenizes them, so that
cuts inside words are met in training.

Knows no files, no batches and no torch. All chance comes from the `random.Random` it is given.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from training.corpus.documents import Document
from training.corpus.tokenizer import END_OF_TEXT, fim_template

Encode = Callable[[str], list[int]]

_SPM: Final = fim_template("spm")
_PSM: Final = fim_template("psm")


class Mixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often each thing happens; all but `max_parts` are probabilities.

    `max_parts` is how many parts of a long document an epoch shows, each chosen anew. `syntax`,
    `line_tail`, `lines` and what they leave, a span at characters, add up to one.
    """

    fim: float = 0.65
    spm: float = 0.75
    syntax: float = 0.35
    line_tail: float = 0.3
    lines: float = 0.2
    no_suffix: float = 0.12
    short_suffix: float = 0.2
    other_files: float = 0.15
    max_parts: int = 1


class Cut(msgspec.Struct, frozen=True):
    """A text in three parts; the model is asked for `middle`."""

    prefix: str
    middle: str
    suffix: str


def arrange(
    document: Document,
    others: Sequence[Document],
    mixture: Mixture,
    encode: Encode,
    *,
    max_characters: int,
    chance: random.Random,
) -> list[int]:
    """Return one document, or a part of it of at most `max_characters`, as the model reads it.

    `others` are files of the same package; now and then one or two stand in front.
    """
    start, end = _part(document.text, max_characters, chance)
    is_fim = chance.random() < mixture.fim
    head: list[int] = []
    if others and chance.random() < mixture.other_files:
        room = (end - start) // 2
        start, end = _part(document.text, max(1, max_characters - room), chance)
        head = _context(document, others, encode, room)
    text = document.text[start:end]
    if not is_fim or len(text) < 32:
        return [*head, *encode(text), END_OF_TEXT]
    holes = [(a - start, b - start) for a, b in document.holes if start <= a and b <= end]
    cut = cut_out(text, holes, mixture, chance)
    order = _SPM if chance.random() < mixture.spm else _PSM
    hole = order.arrange(encode(cut.prefix), encode(cut.suffix))
    return [*head, *hole, *encode(cut.middle), END_OF_TEXT]


def cut_out(
    text: str, holes: Sequence[tuple[int, int]], mixture: Mixture, chance: random.Random
) -> Cut:
    """Choose a span and cut it out; shorten or drop the suffix as often as `mixture` says."""
    start, end = _span(text, holes, mixture, chance)
    suffix = text[end:]
    luck = chance.random()
    if luck < mixture.no_suffix:
        suffix = ""
    elif luck < mixture.no_suffix + mixture.short_suffix:
        num_lines = chance.randint(1, 8)
        suffix = "".join(suffix.splitlines(keepends=True)[:num_lines])
    return Cut(text[:start], text[start:end], suffix)


def _span(
    text: str, holes: Sequence[tuple[int, int]], mixture: Mixture, chance: random.Random
) -> tuple[int, int]:
    luck = chance.random()
    if luck < mixture.syntax:
        return chance.choice(holes) if holes else line_tail(text, chance)
    if luck < mixture.syntax + mixture.line_tail:
        return line_tail(text, chance)
    if luck < mixture.syntax + mixture.line_tail + mixture.lines:
        return whole_lines(text, chance)
    return characters(text, chance)


def line_tail(text: str, chance: random.Random) -> tuple[int, int]:
    """Return the rest of a line after a random place in it."""
    start = chance.randrange(len(text))
    end = text.find("\n", start)
    return start, len(text) if end < 0 else end


def whole_lines(text: str, chance: random.Random) -> tuple[int, int]:
    """Return one to six lines; half of the time the first one's indentation is already there."""
    start = text.rfind("\n", 0, chance.randrange(len(text))) + 1
    end = start
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4, 6))):
        newline = text.find("\n", end + 1)
        end = len(text) if newline < 0 else newline
    if chance.random() < 0.5:
        start += len(text[start:end]) - len(text[start:end].lstrip(" \t"))
    return start, end


def characters(text: str, chance: random.Random) -> tuple[int, int]:
    """Return any span; short ones are likelier, 12 to 400 characters on a logarithmic scale."""
    length = min(len(text), int(12 * (400 / 12) ** chance.random()))
    start = chance.randrange(len(text) - length + 1)
    return start, start + length


def _part(text: str, max_characters: int, chance: random.Random) -> tuple[int, int]:
    """Return a window of whole lines of a long text, the whole of a short one."""
    if len(text) <= max_characters:
        return 0, len(text)
    length = int(max_characters * chance.uniform(0.4, 1))
    start = chance.randrange(len(text) - length + 1)
    start = text.rfind("\n", 0, start) + 1
    end = text.find("\n", start + length)
    is_far = end < 0 or end > start + max_characters
    return start, start + length if is_far else end + 1


def _context(
    document: Document, others: Sequence[Document], encode: Encode, max_characters: int
) -> list[int]:
    """Lay out other files in front, as Qwen2.5-Coder does for repositories (arXiv:2409.12186)."""
    files = [
        encode(f"{other.path}\n{other.text[: max_characters // len(others)]}") for other in others
    ]
    own_name = encode(f"{document.path}\n")
    return _SPM.other_files(files, own_name, encode(f"{document.package}\n"))
