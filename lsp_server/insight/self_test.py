"""Have the model fill holes whose answers are known, as an editor would ask, and time it."""

import time
from collections.abc import Sequence
from importlib import resources
from typing import Final

import msgspec

from inference import (
    Completion,
    CompletionRequest,
    EngineOptions,
    EngineState,
    EngineUnavailableError,
    open_engine,
)

HOLES_FILE: Final = "holes.toml"
DEADLINE_MS: Final = 60_000

SPEED_CLASSES: Final = ((15.0, "fast"), (40.0, "good"), (100.0, "slow"))
"""Milliseconds a token up to which a machine is of a class; above all it is very slow."""


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """A text with a hole. A code model's text begins with one of `begins`, blanks aside."""

    language: str
    prefix: str
    suffix: str = "\n"
    begins: tuple[str, ...]


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    hole: Hole
    text: str

    @property
    def is_expected(self) -> bool:
        return self.text.strip().startswith(self.hole.begins)


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """`ms_per_token` is of writing, `tokens_read_per_second` of reading; 0 where nothing told."""

    model: str
    load_ms: float
    filled: list[Filled]
    ms_per_token: float
    tokens_read_per_second: float

    @property
    def num_expected(self) -> int:
        return sum(filled.is_expected for filled in self.filled)

    @property
    def num_filled(self) -> int:
        return sum(bool(filled.text.strip()) for filled in self.filled)

    @property
    def speed_class(self) -> str:
        if not self.ms_per_token:
            return "unknown"
        classes = (name for limit, name in SPEED_CLASSES if self.ms_per_token <= limit)
        return next(classes, "very slow")


def read_holes() -> list[Hole]:
    """Return the holes that ship."""
    text = (resources.files("lsp_server.insight") / HOLES_FILE).read_bytes()
    return msgspec.toml.decode(text, type=dict[str, list[Hole]])["hole"]


async def self_test(model: str | None, holes: Sequence[Hole]) -> SelfTest:
    """Start an engine as the language server does, and have it fill the holes.

    Raises EngineUnavailableError where no model gets ready.
    """
    start = time.perf_counter()
    engine = open_engine(EngineOptions(model=model))
    try:
        status = await engine.wait_ready()
        if status.state is not EngineState.READY:
            raise EngineUnavailableError(status.message or f"the engine is {status.state}")
        load_ms = (time.perf_counter() - start) * 1000
        answers = [
            await engine.complete(_request(hole, number)) for number, hole in enumerate(holes)
        ]
    finally:
        await engine.close()
    return SelfTest(
        model=status.model,
        load_ms=load_ms,
        filled=[
            Filled(hole=hole, text=answer.text) for hole, answer in zip(holes, answers, strict=True)
        ],
        ms_per_token=_ms_per_token(answers),
        tokens_read_per_second=_tokens_read_per_second(answers),
    )


def _request(hole: Hole, number: int) -> CompletionRequest:
    return CompletionRequest(
        document=f"doctor-{number}",
        prefix=hole.prefix,
        suffix=hole.suffix,
        language=hole.language,
        scope="line",
        max_tokens=24,
        deadline_ms=DEADLINE_MS,
    )


def _ms_per_token(answers: Sequence[Completion]) -> float:
    """Return the time of a token; an answer's first one belongs to reading."""
    written = [answer for answer in answers if answer.tokens.generated > 1]
    tokens = sum(answer.tokens.generated - 1 for answer in written)
    return sum(answer.timings.decode_ms for answer in written) / tokens if tokens else 0.0


def _tokens_read_per_second(answers: Sequence[Completion]) -> float:
    tokens = sum(answer.tokens.prompt - answer.tokens.reused for answer in answers)
    ms = sum(answer.timings.prefill_ms for answer in answers)
    return 1000 * tokens / ms if ms else 0.0
