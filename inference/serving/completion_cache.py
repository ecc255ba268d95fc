"""Completions that were computed, for the keystrokes that type them: answered without the model.

A completion was for a place. What was typed there since, or accepted of it, or left by a deletion,
must be its beginning; then the remainder is the answer. What stands behind the cursor must be what
stood there then, but for brackets and quotes that an editor closes by itself or types over.

It knows requests and completions; it lives in the event loop. Nothing of it is written anywhere.
"""

from collections import deque
from typing import Final

import msgspec

from inference.completion import Completion, CompletionRequest, FinishReason, TokenCounts
from inference.decoding.line_ends import with_line_feeds
from inference.decoding.postprocess import Surroundings, shown_again
from inference.timing import Timings

MAX_ENTRIES: Final = 256

NUM_BEFORE: Final = 2_048
NUM_BEHIND: Final = 256
"""Characters around the cursor that are compared."""

MAX_CLOSED: Final = 4
"""Marks that an editor may have closed or typed over since."""

CLOSING: Final = frozenset(")]}>\"'`;")

LASTING: Final = frozenset(
    {
        FinishReason.END_TOKEN,
        FinishReason.WORD,
        FinishReason.LINE,
        FinishReason.STATEMENT,
        FinishReason.BLOCK,
        FinishReason.REPETITION,
        FinishReason.LENGTH,
        FinishReason.EMPTY,
    }
)
"""What a second asking would not answer otherwise."""


class Entry(msgspec.Struct, frozen=True):
    request: CompletionRequest
    completion: Completion


class CompletionCache:
    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)

    def add(self, request: CompletionRequest, completion: Completion) -> None:
        """Remember a completion, unless its request promised no time: that one asks for itself."""
        if request.first_text_ms is not None and completion.finish_reason in LASTING:
            self._entries.append(Entry(_near(request), completion))

    def find(self, request: CompletionRequest) -> Completion | None:
        """Return what is left of the latest completion that the request types, if any is."""
        for entry in reversed(self._entries):
            typed = typed_since(entry.request, request)
            if typed is None:
                continue
            if found := remainder(entry.completion, typed, request):
                return found
        return None


def typed_since(earlier: CompletionRequest, later: CompletionRequest) -> str | None:
    """Return what was typed between two requests, with line feeds alone; "" for the same place.

    None where they are for different places, or what is around them differs.
    """
    num_typed = _cursor(later) - _cursor(earlier)
    is_alike = earlier.document == later.document and earlier.scope == later.scope
    if not is_alike or not 0 <= num_typed <= len(later.prefix):
        return None
    split = len(later.prefix) - num_typed
    before, typed = later.prefix[max(0, split - NUM_BEFORE) : split], later.prefix[split:]
    is_there = before.endswith(earlier.prefix[-NUM_BEFORE:]) if before else not earlier.prefix
    if not is_there or not _suffix_fits(earlier.suffix, later.suffix, num_typed):
        return None
    return with_line_feeds(typed)


def remainder(completion: Completion, typed: str, request: CompletionRequest) -> Completion | None:
    """Return what a completion leaves to be shown behind what was typed of it.

    Nothing that was answered is an answer again at the same place only.
    """
    text = with_line_feeds(completion.text)
    if not typed and not text:
        return _known(completion, "")
    if not text.startswith(typed):
        return None
    around = Surroundings.of(request.prefix, request.suffix)
    left = shown_again(text[len(typed) :], around)
    return _known(completion, left) if left.strip() else None


def _known(completion: Completion, text: str) -> Completion:
    return msgspec.structs.replace(
        completion,
        text=text,
        tokens=TokenCounts(),
        timings=Timings(),
        origin="cache",
        alternatives=(),
    )


def _cursor(request: CompletionRequest) -> int:
    return request.num_skipped + len(request.prefix)


def _near(request: CompletionRequest) -> CompletionRequest:
    """Keep what is compared, and no more of the document."""
    prefix = request.prefix[-NUM_BEFORE:]
    return msgspec.structs.replace(
        request,
        prefix=prefix,
        suffix=request.suffix[: NUM_BEHIND + MAX_CLOSED],
        num_skipped=_cursor(request) - len(prefix),
    )


def _suffix_fits(earlier: str, later: str, num_typed: int) -> bool:
    """Say whether what stands behind the cursor is the same but for what an editor closes."""
    if earlier[:NUM_BEHIND] == later[:NUM_BEHIND]:
        return True
    return any(
        _is_closed(longer, shorter, num_closed)
        for longer, shorter in ((later, earlier), (earlier, later))
        for num_closed in range(1, min(num_typed, MAX_CLOSED) + 1)
    )


def _is_closed(longer: str, shorter: str, num_closed: int) -> bool:
    same = NUM_BEHIND - num_closed
    return CLOSING.issuperset(longer[:num_closed]) and longer[num_closed:][:same] == shorter[:same]
