"""Tell from a document's versions what became of a suggestion: accepted, typed, or typed over.

Few clients say when a suggestion is accepted, and LSP has no word for a part of one. So each change
is compared with what was shown: text that comes to stand in its place at once and says the same was
accepted, all of it or a part that ends where a word or a line does; letter by letter it was typed.

Pure. Offsets are characters.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

import msgspec

from lsp_server.lines import Lines

SURROUNDINGS: Final = 64
"""Characters before and after a place that say whether it is still the same one."""

SEARCHED: Final = 10_000
"""Characters before and after its place in which an accepted text is looked for later."""

RUN_TOKENS: Final = 3
"""Fewer tokens in a row than these stand in any code, so they do not count as kept."""

_TOKEN: Final = re.compile(r"\w+|[^\w\s]")
_WORD: Final = re.compile(r"\w")
_TYPED_AT_ONCE: Final = frozenset(("()", "[]", "{}", "<>", '""', "''", "``", "/**/"))
"""What editors close by themselves when its first half is typed."""


class Suggestion(msgspec.Struct, frozen=True):
    """`text` stands, or is shown, at `offset`.

    The first `reached` characters of it are in the document by now, and `taken` of these came at
    once.
    """

    text: str
    offset: int
    reached: int = 0
    taken: int = 0
    ends_at_once: bool = False
    """Whether the last of those that are in the document came at once."""

    @property
    def rest(self) -> str:
        return self.text[self.reached :]

    @property
    def place(self) -> int:
        return self.offset + self.reached


def follow(
    suggestion: Suggestion, before: Lines, after: Lines, inserted: Sequence[str]
) -> Suggestion | None:
    """Return what a change left of a suggestion, None where it does not fit there any more.

    `inserted` are the texts that the change brought, one for each of its parts.
    """
    rest, place = suggestion.rest, suggestion.place
    if _took_the_place(rest, place, before, after, inserted):
        return _advanced(suggestion, rest, at_once=True)
    growth = after.num_characters - before.num_characters
    if 0 < growth <= len(rest) and _is_same(before, place, after, place + growth, place):
        piece = after.between(place, place + growth)
        if not rest.startswith(piece):
            return None
        return _advanced(suggestion, piece, at_once=_is_at_once(piece, rest, inserted))
    if _is_same(before, place, after, place, place):
        return suggestion
    if _is_same(before, place, after, place + growth, place + growth):
        return msgspec.structs.replace(suggestion, offset=suggestion.offset + growth)
    return None


def continued(suggestion: Suggestion, text: str, offset: int) -> Suggestion | None:
    """Return the suggestion with what a newer answer says, None where that is another one.

    The rest of a suggestion that is typed through is answered again, or more of it.
    """
    if offset != suggestion.place or not suggestion.rest or not text.startswith(suggestion.rest):
        return None
    return msgspec.structs.replace(suggestion, text=suggestion.text[: suggestion.reached] + text)


def kept_share(text: str, lines: Lines, offset: int) -> float:
    """Return the share, from 0 to 1, of an accepted text that still stands near `offset`.

    Counted in characters of tokens that stand in a row as they did; blanks do not count. Costs some
    milliseconds where the text was changed.
    """
    start = max(0, offset - SEARCHED)
    around = lines.between(start, offset + len(text) + SEARCHED)
    if text in around:
        return 1.0
    tokens = _TOKEN.findall(text)
    there = _TOKEN.findall(_nearest(text, around, offset - start))
    blocks = SequenceMatcher(None, tokens, there, autojunk=False).get_matching_blocks()
    shortest = min(RUN_TOKENS, len(tokens))
    kept = [
        token
        for block in blocks
        if block.size >= shortest
        for token in tokens[block.a : block.a + block.size]
    ]
    return len("".join(kept)) / max(1, len("".join(tokens)))


def _is_same(before: Lines, place: int, after: Lines, later: int, earlier: int) -> bool:
    """Return whether what surrounded `place` now stands before `earlier` and behind `later`."""
    start = max(0, place - SURROUNDINGS)
    moved = start + earlier - place
    return (
        moved >= 0
        and before.between(start, place) == after.between(moved, earlier)
        and before.between(place, place + SURROUNDINGS)
        == after.between(later, later + SURROUNDINGS)
    )


def _advanced(suggestion: Suggestion, piece: str, *, at_once: bool) -> Suggestion:
    return msgspec.structs.replace(
        suggestion,
        reached=suggestion.reached + len(piece),
        taken=suggestion.taken + (len(piece) if at_once else 0),
        ends_at_once=at_once,
    )


def _is_at_once(piece: str, rest: str, inserted: Sequence[str]) -> bool:
    """Return whether a beginning of a suggestion was accepted and not typed."""
    seen = piece.strip()
    if len(seen) < 2 or seen in _TYPED_AT_ONCE or not any(piece in text for text in inserted):
        return False
    is_inside_word = _WORD.match(piece[-1]) and _WORD.match(rest, len(piece))
    return len(piece) == len(rest) or not is_inside_word


def _took_the_place(
    rest: str, place: int, before: Lines, after: Lines, inserted: Sequence[str]
) -> bool:
    """Return whether all of it was inserted and something else removed, as some clients do."""
    end = place + len(rest)
    return _is_at_once(rest, rest, inserted) and after.between(
        place, end
    ) == rest != before.between(place, end)


def _nearest(text: str, around: str, place: int) -> str:
    """Return the piece of `around` where most of a changed text must be."""
    longest = max(text.splitlines(), key=len, default="").strip()
    found = around.find(longest) if longest else -1
    start = max(0, (found - text.index(longest) if found >= 0 else place) - len(text) // 2)
    return around[start : start + 2 * len(text) + SURROUNDINGS]
