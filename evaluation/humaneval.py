"""The single-line infilling benchmark: a line is missing, and tests say whether it is back.

HumanEval single-line infilling (Fried et al. 2022, arXiv:2204.05999; Bavarian et al. 2022,
arXiv:2207.14255), in the files of openai/human-eval-infilling: JSON lines, gzipped or not. Each
problem is answered once, greedily, so pass@1 is the share of programs that pass.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from evaluation.figures import Figure, Ratio
from evaluation.fill import DEADLINE_MS, EMPTY, LATENCY, LIKENESS, MeasuredEngine, answer
from evaluation.sandbox import DEFAULT_LIMITS, Isolation, Limits, Verdict, run_all
from evaluation.similarity import edit_similarity, is_empty, is_exact
from inference.completion import CompletionRequest
from inference.errors import InvalidRequestError

GZIP_MAGIC: Final = b"\x1f\x8b"
LANGUAGE: Final = "python"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file; `canonical_solution` is what was taken out."""

    task_id: str
    entry_point: str
    prompt: str
    suffix: str
    canonical_solution: str
    test: str


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, filled and run."""

    hole_id: str
    language: str
    kind: str
    completion: str
    verdict: Verdict
    passed: bool
    exact_match: bool
    edit_similarity: float
    empty: bool
    latency_ms: float


FIGURES: Final[tuple[Figure, ...]] = (
    Ratio("pass_at_1", "pass@1\n%", "passed"),
    *LIKENESS,
    EMPTY,
    *LATENCY,
)


def read_problems(path: Path) -> list[Problem]:
    """Read all problems. Raises InvalidRequestError where the file is not of this format."""
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        problems = msgspec.json.Decoder(Problem).decode_lines(content)
    except OSError as error:  # also what gzip raises for a broken file
        raise InvalidRequestError(f"cannot read {path}: {error}") from error
    except (EOFError, zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(
            f"{path} holds no infilling problems: {error}; take a file of human-eval-infilling"
        ) from error
    if not problems:
        raise InvalidRequestError(f"{path} holds no problems; take a file of human-eval-infilling")
    return problems


async def complete_all(
    engines: Sequence[MeasuredEngine],
    problems: Sequence[Problem],
    *,
    limit_tokens: int,
    advance: Callable[[], None],
) -> list[list["Attempt"]]:
    """Return for each engine its line for each problem; engines take turns, as with holes."""
    attempts: list[list[Attempt]] = [[] for _ in engines]
    turns = list(zip(engines, attempts, strict=True))
    for problem in problems:
        for engine, made in turns:
            made.append(await _attempt(engine, problem, limit_tokens=limit_tokens))
        turns.reverse()
        advance()
    return attempts


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is not yet run."""

    problem: Problem
    completion: str
    latency_ms: float


def run_attempts(
    attempts: Sequence[Attempt],
    isolation: Isolation,
    *,
    num_workers: int,
    advance: Callable[[], None],
    limits: Limits = DEFAULT_LIMITS,
) -> list[Solution]:
    """Run each attempt's program, see evaluation.sandbox."""
    programs = [program(attempt.problem, attempt.completion) for attempt in attempts]
    verdicts = run_all(programs, isolation, num_workers=num_workers, advance=advance, limits=limits)
    return [
        _solution(attempt, verdict) for attempt, verdict in zip(attempts, verdicts, strict=True)
    ]


def program(problem: Problem, completion: str) -> str:
    """Put the line back and call the tests, in the benchmark's own order."""
    return (
        f"{problem.prompt}{completion}\n{problem.suffix}\n{problem.test}\n"
        f"check({problem.entry_point})\n"
    )


def verdict_counts(solutions: Sequence[Solution]) -> dict[Verdict, int]:
    return dict(Counter(solution.verdict for solution in solutions).most_common())


async def _attempt(engine: MeasuredEngine, problem: Problem, *, limit_tokens: int) -> Attempt:
    request = CompletionRequest(
        document=problem.task_id,
        prefix=problem.prompt,
        suffix=problem.suffix,
        language=LANGUAGE,
        scope="line",
        max_tokens=limit_tokens,
        deadline_ms=DEADLINE_MS,
    )
    completion = await answer(engine, request)
    return Attempt(
        problem=problem,
        completion=completion.text,
        latency_ms=completion.timings.queue_ms + completion.timings.total_ms,
    )


def _solution(attempt: Attempt, verdict: Verdict) -> Solution:
    written, removed = attempt.completion, attempt.problem.canonical_solution
    return Solution(
        hole_id=attempt.problem.task_id,
        language=LANGUAGE,
        kind="single_line",
        completion=written,
        verdict=verdict,
        passed=verdict is Verdict.PASSED,
        exact_match=is_exact(written, removed),
        edit_similarity=edit_similarity(written.rstrip(), removed.rstrip()),
        empty=is_empty(written),
        latency_ms=attempt.latency_ms,
    )
