"""Follow each suggestion from when it is shown to what is left of it five minutes later.

One object per session. A suggestion goes by the number of the request that it answered. What comes
of it is inferred from the changes of its document, and where a client says more, that counts too:
of several records of one suggestion, the best says what became of it, see stats.py.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from lsp_server.insight.acceptance import Suggestion, continued, follow, kept_share
from lsp_server.insight.records import (
    Accepted,
    Kept,
    PartlyAccepted,
    Record,
    Rejected,
    RequestRecord,
    Shown,
)
from lsp_server.lines import Lines
from lsp_server.uris import document_key

KEPT_AFTER_SECONDS: Final = (30, 300)
NUM_REMEMBERED: Final = 50
"""Suggestions of which a client may still say what became of them."""


class Followed(msgspec.Struct):
    """A suggestion and what was said of it. `uri` is its document's, see document_key."""

    uri: str
    request: RequestRecord
    suggestion: Suggestion
    shown_at: float
    is_told: bool = False
    is_accepted: bool = False
    is_kept_measured: bool = False


class Feedback:
    """`record` takes records, `lines_of` gives the text of an open document.

    `later` calls a function after so many seconds; by default the running loop does.
    """

    def __init__(
        self,
        record: Callable[[Record], None],
        lines_of: Callable[[str], Lines | None],
        later: Callable[[float, Callable[[], None]], object] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._record, self._lines_of, self._clock = record, lines_of, clock
        self._later = later or _on_the_loop
        self._visible: dict[str, Followed] = {}
        self._known: OrderedDict[int, Followed] = OrderedDict()
        self._client_tells_shown = False
        self._measuring: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no accepted text is being looked for right now."""
        return not self._measuring

    def on_screen(self, uri: str) -> Suggestion | None:
        """Return what is shown in a document, as far as that is known."""
        followed = self._visible.get(document_key(uri))
        return None if followed is None else followed.suggestion

    def answered(self, request: RequestRecord, uri: str, offset: int, text: str) -> int:
        """Take note of text that is going to the client; return the number it goes by.

        More of a suggestion that is on the screen already keeps that one's number.
        """
        uri = document_key(uri)
        old = self._visible.get(uri)
        if old is not None:
            more = continued(old.suggestion, text, offset)
            if more is not None:
                old.suggestion = more
                return old.request.ordinal
            self._end(old, "replaced")
        followed = Followed(uri, request, Suggestion(text, offset), self._clock())
        self._visible[uri] = self._known[request.ordinal] = followed
        if len(self._known) > NUM_REMEMBERED:
            self._known.popitem(last=False)
        if not self._client_tells_shown:
            self._tell_shown(followed)
        return request.ordinal

    def changed(self, uri: str, before: Lines, after: Lines, inserted: Sequence[str]) -> None:
        """Take note of a change of a document."""
        followed = self._visible.get(document_key(uri))
        if followed is None:
            return
        suggestion = follow(followed.suggestion, before, after, inserted)
        if suggestion is None:
            self._end(followed, "typed over")
            return
        followed.suggestion = suggestion
        if not suggestion.rest:
            self._end(followed, "typed through")

    def closed(self, uri: str) -> None:
        """Take note that a document was closed."""
        followed = self._visible.get(document_key(uri))
        if followed is not None:
            self._end(followed, "closed")

    def shown(self, ordinal: int) -> None:
        """Take the client's word that a suggestion is on the screen, from now on for all of them.

        What the client did not show is then not counted as shown.
        """
        self._client_tells_shown = True
        if ordinal in self._known:
            self._tell_shown(self._known[ordinal])

    def accepted(self, ordinal: int) -> None:
        """Take the client's word that all of a suggestion was accepted."""
        followed = self._known.get(ordinal)
        if followed is not None:
            self._visible.pop(followed.uri, None)
            self._tell_accepted(followed, len(followed.suggestion.text))

    def partly_accepted(self, ordinal: int, num_units: int) -> None:
        """Take the client's word that so many UTF-16 units were accepted by now, in all."""
        followed = self._known.get(ordinal)
        if followed is not None:
            encoded = followed.suggestion.text.encode("utf-16-le", "surrogatepass")
            part = encoded[: 2 * max(0, num_units)].decode("utf-16-le", "ignore")
            self._tell_partly(followed, len(part))

    def _end(self, followed: Followed, reason: str) -> None:
        """Say what became of a suggestion that is gone from the screen."""
        del self._visible[followed.uri]
        suggestion = followed.suggestion
        if suggestion.ends_at_once and not suggestion.rest:
            self._tell_accepted(followed, suggestion.taken)
        elif suggestion.taken:
            self._tell_partly(followed, suggestion.taken)
        else:
            self._record(
                Rejected(
                    **self._about(followed, len(suggestion.text)),
                    reason=reason,
                    visible_ms=self._visible_ms(followed),
                )
            )

    def _tell_shown(self, followed: Followed) -> None:
        if not followed.is_told:
            followed.is_told = True
            self._record(Shown(**self._about(followed, len(followed.suggestion.text))))

    def _tell_accepted(self, followed: Followed, num_characters: int) -> None:
        if followed.is_accepted:  # inferred, and now the client says so too
            return
        followed.is_accepted = True
        about, visible_ms = self._about(followed, num_characters), self._visible_ms(followed)
        self._record(Accepted(**about, visible_ms=visible_ms))
        self._measure_later(followed, followed.suggestion.text)

    def _tell_partly(self, followed: Followed, num_characters: int) -> None:
        about, visible_ms = self._about(followed, num_characters), self._visible_ms(followed)
        self._record(PartlyAccepted(**about, visible_ms=visible_ms))
        self._measure_later(followed, followed.suggestion.text[:num_characters])

    def _measure_later(self, followed: Followed, text: str) -> None:
        if followed.is_kept_measured or not text.strip():
            return
        followed.is_kept_measured = True
        for seconds in KEPT_AFTER_SECONDS:
            self._later(seconds, lambda seconds=seconds: self._start(followed, text, seconds))

    def _start(self, followed: Followed, text: str, seconds: int) -> None:
        lines = self._lines_of(followed.uri)
        if lines is not None:  # else it was closed, and nobody knows
            task = asyncio.ensure_future(self._measure(followed, text, seconds, lines))
            self._measuring.add(task)
            task.add_done_callback(self._measuring.discard)

    async def _measure(self, followed: Followed, text: str, seconds: int, lines: Lines) -> None:
        share = await asyncio.to_thread(kept_share, text, lines, followed.suggestion.offset)
        about = self._about(followed, len(text))
        self._record(Kept(**about, after_seconds=seconds, share=round(share, 4)))

    def _visible_ms(self, followed: Followed) -> float:
        return max(0.0, self._clock() - followed.shown_at) * 1000

    def _about(self, followed: Followed, num_characters: int) -> dict[str, Any]:
        request = followed.request
        return {
            "time": self._clock(),
            "session": request.session,
            "ordinal": request.ordinal,
            "language": request.language,
            "model": request.model,
            "characters": num_characters,
        }


def _on_the_loop(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)
