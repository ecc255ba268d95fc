"""What an endpoint writes, as it grows, made to fit as what our own model writes is.

It ends where the statement, the line or the block ends, whoever wrote it; then the same rules clean
it (postprocess.py) and the same grammar looks at it (soundness.py). Loads the grammars, and numpy
with them, so it is imported where an endpoint is asked and not before.
"""

from msgspec.structs import replace

from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    SyntaxScope,
    TokenCounts,
    Unit,
)
from inference.decoding.line_ends import with_line_feeds
from inference.decoding.loops import repetition
from inference.decoding.postprocess import Surroundings, clean, without_empty_first_line
from inference.decoding.soundness import sound
from inference.decoding.stopping import fills_line, stop_rule, unit_for
from inference.languages import language_for
from inference.serving.remote.dialects import Piece, Way, read_piece
from inference.syntax import Place, place
from inference.timing import Timings, now_ms


class Written:
    """One answer. `markers` are spellings of special tokens, which end it where they come.

    `found` is what stands around the cursor, see find_place.
    """

    def __init__(
        self,
        way: Way,
        request: CompletionRequest,
        found: Place | None,
        markers: tuple[str, ...] = (),
    ) -> None:
        self._way = way
        self._place = found
        self._around = Surroundings.of(request.prefix, request.suffix)
        self.unit: Unit = _unit(request, found)
        self._fills_line = fills_line(self.unit, self._around.before)
        language = language_for(request.language)
        self._stop = stop_rule(self.unit, language, self._around.before)
        self._markers = markers
        self._started_ms = now_ms()
        self._timings = Timings()
        self._tokens = TokenCounts()
        self.text = ""
        self._held = ""
        self.reason: FinishReason | None = None
        self.is_ended = False
        """Whether the endpoint has ended it by itself."""

    @property
    def stop(self) -> tuple[str, ...]:
        """What the endpoint may end at by itself, so that the connection can be used again."""
        return ("\n",) if self.unit == "line" and not self._fills_line else ()

    def feed(self, line: bytes) -> bool:
        """Take a line of the answer; return whether that is all of it. Raises TroubleError."""
        piece = read_piece(self._way, line)
        return piece is not None and self.add(piece)

    def add(self, piece: Piece) -> bool:
        """Take what came; return whether that is all of it."""
        if piece.tokens is not None:
            self._tokens = piece.tokens
        if piece.text:
            if not self._timings.first_token_ms:
                self._timings.first_token_ms = now_ms() - self._started_ms
            # What ends in a carriage return may be half a line end.
            said = self._held + piece.text
            self._held = "\r" if said.endswith("\r") else ""
            self.text += with_line_feeds(said.removesuffix("\r"))
            self._look()
        self.is_ended |= bool(piece.ended)
        if self.reason is None and piece.ended:
            is_cut = piece.ended == "length"
            self.reason = FinishReason.LENGTH if is_cut else FinishReason.END_TOKEN
        return self.reason is not None

    @property
    def has_whole_line(self) -> bool:
        """Whether something of it is a line that more is written behind."""
        whole, is_line, _ = self.text.rpartition("\n")
        return bool(is_line and whole.strip())

    def first_lines(self) -> Completion:
        """Return what may be shown of the lines that stand, while the rest is being written."""
        whole = self.text.rpartition("\n")[0]
        return self._shown(whole, FinishReason.LINE)

    def completion(self, reason: FinishReason) -> Completion:
        """Return what may be shown of it; `reason` is why it ends, where nothing else ended it."""
        return self._shown(self.text, self.reason or reason)

    def _shown(self, text: str, reason: FinishReason) -> Completion:
        self._timings.total_ms = now_ms() - self._started_ms
        self._timings.decode_ms = self._timings.total_ms - self._timings.first_token_ms
        shown = sound(clean(text, self._around), reason, self._place)
        return Completion(
            text=shown.text,
            finish_reason=reason if shown.text else FinishReason.EMPTY,
            tokens=self._tokens,
            timings=replace(self._timings),
            syntax=shown.syntax,
        )

    def _look(self) -> None:
        """Set the reason where what is written so far has come to an end."""
        for marker in self._markers:
            at = self.text.find(marker)
            if at >= 0:
                self.text, self.reason = self.text[:at], FinishReason.END_TOKEN
        text = self.text
        if self._fills_line:  # a line end is no answer there, and no rule sees it
            text = without_empty_first_line(text, self._around) if text.strip() else ""
        num_kept = self._stop(text)
        if num_kept is not None:
            self.text, self.reason = text[:num_kept], FinishReason(self.unit)
        elif (num_kept := repetition(self.text)) is not None:
            self.text, self.reason = self.text[:num_kept], FinishReason.REPETITION


def find_place(request: CompletionRequest) -> Place | None:
    """Parse what stands around the cursor; takes some milliseconds."""
    return place(request.prefix, request.suffix, request.language)


def _unit(request: CompletionRequest, found: Place | None) -> Unit:
    syntax: SyntaxScope | None = None if found is None else found.scope
    return unit_for(request.scope, syntax, request.prefix, request.suffix)
