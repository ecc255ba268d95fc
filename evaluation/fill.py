"""Let engines fill holes, and hold what they write against what was there.

Engines take turns at each hole, and the one that begins changes with every hole, so that a busy
machine is busy for all of them alike.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from evaluation.figures import Figure, Percentile, Ratio
from evaluation.holes import Hole
from evaluation.similarity import edit_similarity, is_empty, is_exact, is_perfect_line
from inference import syntax
from inference.completion import Completion, CompletionRequest, FinishReason, within_bounds
from inference.decoding.scoring import Score
from inference.errors import EvaluationError

DEADLINE_MS: Final = 600_000
"""The quality of an answer must not depend on how busy the machine is."""


class MeasuredEngine(Protocol):
    """An engine that also says how likely it holds a text to be."""

    async def complete(self, request: CompletionRequest) -> Completion: ...

    async def score(self, request: CompletionRequest, middle: str) -> Score: ...


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One hole, filled. `has_grammar` says whether `parses` counts."""

    hole_id: str
    path: str
    language: str
    kind: str
    start: int
    perfect_line: bool
    exact_match: bool
    edit_similarity: float
    first_token: bool
    has_grammar: bool
    parses: bool
    empty: bool
    bits: float
    num_bytes: int
    num_tokens: int
    latency_ms: float


LIKENESS: Final[tuple[Figure, ...]] = (
    Ratio("exact_match", "exact\n%", "exact_match"),
    Ratio("edit_similarity", "edit\nsim. %", "edit_similarity"),
)
EMPTY: Final = Ratio("empty", "empty\n%", "empty")
LATENCY: Final[tuple[Figure, ...]] = (
    Percentile("latency_p50_ms", "p50\nms", "latency_ms", 50),
    Percentile("latency_p95_ms", "p95\nms", "latency_ms", 95),
)
FIGURES: Final[tuple[Figure, ...]] = (
    Ratio("perfect_line", "perfect\nline %", "perfect_line"),
    *LIKENESS,
    Ratio("first_token", "first\ntok. %", "first_token"),
    Ratio("parses", "parses\n%", "parses", "has_grammar"),
    EMPTY,
    Ratio("bits_per_byte", "bits per\nbyte", "bits", "num_bytes", is_share=False),
    *LATENCY,
)


async def fill_all(
    engines: Sequence[MeasuredEngine],
    holes: Sequence[Hole],
    *,
    limit_tokens: int,
    advance: Callable[[], None],
) -> list[list[Outcome]]:
    """Return for each engine its outcome for each hole; `advance` is called after each hole.

    Raises EvaluationError where an engine fails to answer.
    """
    outcomes: list[list[Outcome]] = [[] for _ in engines]
    turns = list(zip(engines, outcomes, strict=True))
    for hole in holes:
        for engine, filled in turns:
            filled.append(await fill(engine, hole, limit_tokens=limit_tokens))
        turns.reverse()
        advance()
    return outcomes


async def fill(engine: MeasuredEngine, hole: Hole, *, limit_tokens: int) -> Outcome:
    """Fill one hole; first the completion, so that scoring does not warm the cache for it."""
    prefix, suffix, num_skipped = within_bounds(hole.prefix, hole.suffix)
    request = CompletionRequest(
        document=hole.source.path,
        prefix=prefix,
        suffix=suffix,
        num_skipped=num_skipped,
        language=hole.source.language,
        scope=hole.kind.scope,
        max_tokens=limit_tokens,
        deadline_ms=DEADLINE_MS,
    )
    completion = await answer(engine, request)
    score = await engine.score(request, hole.removed)
    return _outcome(hole, completion, score)


async def answer(engine: MeasuredEngine, request: CompletionRequest) -> Completion:
    """Return the completion; an empty one counts, no answer does not.

    Raises EvaluationError.
    """
    completion = await engine.complete(request)
    match completion.finish_reason:
        case FinishReason.FAILED | FinishReason.UNAVAILABLE | FinishReason.SUPERSEDED as reason:
            raise EvaluationError(
                f"the engine gave no answer in {request.document} ({reason}); see the log"
            )
        case _:
            return completion


def _outcome(hole: Hole, completion: Completion, score: Score) -> Outcome:
    written, removed, language = completion.text, hole.removed, hole.source.language
    num_before = syntax.num_errors(hole.source.text, language)
    num_after = syntax.num_errors(hole.prefix + written + hole.suffix, language)
    return Outcome(
        hole_id=hole.digest,
        path=hole.source.path,
        language=language,
        kind=hole.kind.name,
        start=hole.span.start,
        perfect_line=is_perfect_line(written, removed),
        exact_match=is_exact(written, removed),
        edit_similarity=edit_similarity(written.rstrip(), removed.rstrip()),
        first_token=score.is_first_likeliest,
        has_grammar=num_before is not None,
        parses=num_before is not None and num_after is not None and num_after <= num_before,
        empty=is_empty(written),
        bits=score.bits,
        num_bytes=score.num_bytes,
        num_tokens=score.num_tokens,
        latency_ms=completion.timings.queue_ms + completion.timings.total_ms,
    )
