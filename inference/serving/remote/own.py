"""What our own service answers: a completion as its engine gave it, which fits already.

See `team/completions.py`: OpenAI's events, and what a completion says beyond a text under
`inkling`, in the last of them.
"""

from collections import defaultdict
from typing import Any

import msgspec

from inference.completion import (
    Completion,
    FinishReason,
    Origin,
    SyntaxCheck,
    TokenCounts,
)
from inference.serving.remote.dialects import data_of, decoded
from inference.timing import Timings


class _Choice(msgspec.Struct):
    text: str = ""
    index: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Told(msgspec.Struct):
    finish_reason: FinishReason
    origin: Origin = "model"
    timings: Timings = msgspec.field(default_factory=Timings)
    log_probabilities: tuple[float, ...] = ()
    syntax: SyntaxCheck | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    inkling: _Told | None = None
    error: Any = None


class OwnWritten:
    """One answer, line by line; see Written, which does the same for other endpoints."""

    stop: tuple[str, ...] = ()
    is_ended = True
    has_whole_line = False
    """The service itself answers with what stands in time."""

    def __init__(self) -> None:
        self._texts: defaultdict[int, str] = defaultdict(str)
        self._told: _Told | None = None
        self._tokens = TokenCounts()

    @property
    def text(self) -> str:
        return self._texts[0]

    def feed(self, line: bytes) -> bool:
        """Take a line; return whether that is all. Raises TroubleError."""
        data = data_of(line)
        if data == b"[DONE]":
            return True
        if not data:
            return False
        event = decoded(data, _Event)
        for choice in event.choices:
            self._texts[choice.index] += choice.text
        if event.usage is not None:
            read, written = event.usage.prompt_tokens, event.usage.completion_tokens
            self._tokens = TokenCounts(prompt=read, generated=written)
        self._told = event.inkling or self._told
        return False

    def first_lines(self) -> Completion:
        return self.completion(FinishReason.LINE)

    def completion(self, reason: FinishReason) -> Completion:
        """Return what the service's engine gave; `reason` where it did not come to its end."""
        told = self._told or _Told(reason)
        others = (self._texts[index] for index in sorted(self._texts) if index)
        return Completion(
            text=self.text,
            finish_reason=told.finish_reason,
            tokens=self._tokens,
            timings=told.timings,
            origin=told.origin,
            alternatives=tuple(other for other in others if other),
            log_probabilities=told.log_probabilities,
            syntax=told.syntax,
        )
