"""Where a prompt cuts a document: what it shows of it, and what of that stands still.

Pure. A prompt that changed near its beginning would have to be read again, so every edge stays
where it is while one types:

    document        ... │ head ............... │ tail ...... cursor │ suffix ...........│ ...
                      start                  anchor

- `start` moves in strides (budget.py).
- `anchor` is a line's start, in strides too. The tail stands behind the middle token, the head and
  the suffix before it (fim.py), so that typing adds to the prompt's end. In SPM order all is tail.
- the suffix is frozen: that which was read goes on being shown as long as the text behind the
  cursor still begins like it. Brackets and marks that close the cursor's line are not shown at all:
  an editor puts them there and takes them away while one types, and what a model writes of them
  is not shown either (postprocess.py).

A request reads on in a layout that is held as long as it can, and a fresh one is read when nobody
waits (reader.py).
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

import msgspec

from inference.completion import CompletionRequest
from inference.decoding.budget import (
    SUFFIX_SHARE,
    Encode,
    nearby_prefix,
    num_surplus,
    suffix_tokens,
)
from inference.decoding.line_ends import with_line_feeds
from inference.fim import FimTemplate

CHARACTERS_PER_TOKEN: Final = 4
"""Code averages 3 to 4."""

CLOSING: Final = ")]}>\"'`:;, \t"
"""Marks of which the rest of a line may consist that an editor closed."""

NUM_COMPARED: Final = 50
MAX_DIFFERING: Final = 4
"""Of the suffix's first 50 tokens under 10 % may differ, and the first may not."""

SMALLEST_WINDOW: Final = 64
"""Tokens: what is read at least, however slow the machine is."""


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """The text around the cursor; `num_skipped` characters of the document precede `prefix`."""

    prefix: str
    suffix: str
    num_skipped: int = 0

    @classmethod
    def of(cls, request: CompletionRequest) -> "Hole":
        """Return a request's, with line feeds alone as far as offsets in the document allow it."""
        is_whole = request.num_skipped == 0
        return cls(
            prefix=with_line_feeds(request.prefix) if is_whole else request.prefix,
            suffix=with_line_feeds(request.suffix),
            num_skipped=request.num_skipped,
        )

    @property
    def cursor(self) -> int:
        return self.num_skipped + len(self.prefix)

    @property
    def lasting_suffix(self) -> str:
        """The suffix without what only closes the cursor's line."""
        rest, line_end, below = self.suffix.partition("\n")
        return line_end + below if line_end and not rest.strip(CLOSING) else self.suffix

    def before_cursor(self, start: int, end: int | None = None) -> str:
        """Return the prefix between two offsets of the document, to its end if one is given."""
        last = None if end is None else end - self.num_skipped
        return self.prefix[max(0, start - self.num_skipped) : last]


class Beside(msgspec.Struct, frozen=True):
    """What is shown of so many other files, before all else."""

    token_ids: tuple[int, ...] = ()
    num_files: int = 0


class Layout(msgspec.Struct, frozen=True):
    """`start` and `anchor` are offsets in the document, in characters.

    `num_dropped` tokens behind `start` are not shown. Without an anchor the prefix is in one piece.
    """

    start: int
    num_dropped: int
    anchor: int | None
    suffix_ids: tuple[int, ...]
    beside: Beside = Beside()

    def parts(self, hole: Hole, encode: Encode) -> tuple[list[int], list[int]]:
        """Return the tokens of head and tail; without an anchor there is no tail."""
        is_beginning = self.start == 0
        if self.anchor is None:
            whole = encode(hole.before_cursor(self.start), is_beginning=is_beginning)
            return list(whole[self.num_dropped :]), []
        shown = hole.before_cursor(self.start, self.anchor)
        head = encode(shown, is_beginning=is_beginning)
        tail = encode(
            hole.before_cursor(self.anchor), is_beginning=is_beginning and self.anchor == 0
        )
        num_left = max(0, self.num_dropped - len(head))
        return list(head[self.num_dropped :]), list(tail[num_left:])

    def can_go_on(self, hole: Hole, encode: Encode) -> bool:
        """Say whether a hole may still be shown in this layout: its edges are there, its suffix."""
        edge = self.start if self.anchor is None else self.anchor
        if not hole.num_skipped <= self.start <= edge <= hole.cursor:
            return False
        return is_like(self.suffix_ids, hole.lasting_suffix, encode)


def fresh_layout(hole: Hole, fim: FimTemplate | None, encode: Encode, *, max_tokens: int) -> Layout:
    """Return the layout that shows most in `max_tokens`, which is the same for the same hole."""
    suffix_ids: Sequence[int] = ()
    if fim is not None:
        max_tokens = max(0, max_tokens - fim.num_special_tokens)
        shown = hole.lasting_suffix
        suffix_ids = suffix_tokens(shown, encode, max_tokens=max_tokens // SUFFIX_SHARE)
    max_prefix = max_tokens - len(suffix_ids)
    nearby = nearby_prefix(hole.prefix, max_prefix, hole.num_skipped)
    start = hole.cursor - len(nearby)
    size = fim.num_tail_tokens if fim else 0
    anchor = anchor_before(hole, size, start) if size else None
    whole = Layout(start, 0, anchor, tuple(suffix_ids))
    num_tokens = sum(map(len, whole.parts(hole, encode)))
    num_dropped = num_surplus(num_tokens, max_prefix)
    return msgspec.structs.replace(whole, num_dropped=num_dropped)


def anchor_before(hole: Hole, num_tail_tokens: int, start: int) -> int:
    """Return the line's start at which a tail of so many tokens, or up to twice as many, begins."""
    size = num_tail_tokens * CHARACTERS_PER_TOKEN
    edge = (hole.cursor - size) // size * size
    if edge <= start:
        return start
    newline = hole.prefix.rfind("\n", 0, edge - hole.num_skipped)
    return max(start, hole.num_skipped + newline + 1)


def further_down(hole: Hole, num_tokens: int) -> Hole:
    """Return the hole at a line's start so many tokens further down in the same document."""
    edge = hole.suffix.rfind("\n", 0, num_tokens * CHARACTERS_PER_TOKEN) + 1
    return Hole(
        prefix=hole.prefix + hole.suffix[:edge],
        suffix=hole.suffix[edge:],
        num_skipped=hole.num_skipped,
    )


def is_like(suffix_ids: Sequence[int], suffix: str, encode: Encode) -> bool:
    """Say whether a suffix that was read still does for the one that is there."""
    num_needed = len(suffix_ids)
    found = suffix_tokens(suffix, encode, max_tokens=max(1, num_needed))
    if not suffix_ids or not found:
        return not suffix_ids and not found
    held, found = tuple(suffix_ids[:NUM_COMPARED]), tuple(found[:NUM_COMPARED])
    if held == found or held[0] != found[0]:
        return held == found
    blocks = SequenceMatcher(None, held, found, autojunk=False).get_matching_blocks()
    return len(held) - sum(block.size for block in blocks) <= MAX_DIFFERING
