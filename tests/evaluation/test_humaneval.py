"""Problems whose missing line is written by an engine, put back, and run."""

import gzip
from pathlib import Path

import msgspec
import pytest

from evaluation.figures import figures_of
from evaluation.humaneval import (
    FIGURES,
    Attempt,
    Problem,
    Solution,
    complete_all,
    program,
    read_problems,
    run_attempts,
    verdict_counts,
)
from evaluation.sandbox import Limits, Verdict, find_isolation
from inference.errors import InvalidRequestError
from tests.support.measured import engine_that_writes

DOUBLE = Problem(
    task_id="Infilling/0/L0",
    entry_point="double",
    prompt='def double(a: int) -> int:\n    """Return twice a."""\n',
    suffix="    return b\n",
    canonical_solution="    b = 2 * a\n",
    test="\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n",
)
LAST_LINE = Problem(
    task_id="Infilling/1/L0",
    entry_point="identity",
    prompt="def identity(a):\n",
    suffix="",
    canonical_solution="    return a",
    test="def check(candidate):\n    assert candidate(3) == 3\n",
)


IMPATIENT = Limits(cpu_seconds=1, wall_seconds=60.0)


def solutions(*written: str, problem: Problem = DOUBLE) -> list[Solution]:
    attempts = [Attempt(problem=problem, completion=text, latency_ms=1.0) for text in written]
    return run_attempts(
        attempts, find_isolation(), num_workers=2, advance=lambda: None, limits=IMPATIENT
    )


def check(
    written: str, verdict: Verdict, *, exact: bool = False, problem: Problem = DOUBLE
) -> None:
    (solution,) = solutions(written, problem=problem)
    assert (solution.verdict, solution.exact_match) == (verdict, exact)
    assert solution.passed == (verdict is Verdict.PASSED)


def test_the_line_itself_passes() -> None:
    check("    b = 2 * a", Verdict.PASSED, exact=True)


def test_a_line_that_does_the_same_passes() -> None:
    check("    b = a + a", Verdict.PASSED)


def test_a_line_that_does_something_else_is_wrong() -> None:
    check("    b = a * a + 1", Verdict.WRONG)


def test_a_line_in_the_wrong_place_is_unparsable() -> None:
    check("b = 2 * a", Verdict.UNPARSABLE)


def test_nothing_is_raised_as_a_name_without_a_value() -> None:
    check("", Verdict.RAISED)


def test_a_last_line_passes_too() -> None:
    check("    return a", Verdict.PASSED, exact=True, problem=LAST_LINE)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("    b = bytearray(1 << 33)", Verdict.OUT_OF_MEMORY),
        ("    import os; b = 2 * a; os.fork()", Verdict.RAISED),
        ("    import socket; b = 2 * a; socket.socket()", Verdict.RAISED),
        ("    b = 2 * a; open('a', 'w').write('b' * (1 << 22))", Verdict.RAISED),
        ("    b = 2 * a; open('/etc/inkling', 'w')", Verdict.RAISED),
    ],
)
def test_a_line_that_does_harm_is_stopped(line: str, verdict: Verdict) -> None:
    check(line, verdict)


@pytest.mark.slow
def test_a_line_that_loops_for_ever_is_cut_short() -> None:
    check("    while True: pass", Verdict.OUT_OF_TIME)


def test_pass_at_1_is_the_share_that_passes() -> None:
    found = solutions("    b = a + a", "    b = 2 * a", "    b = a", "    b = (")
    figures = figures_of(found, FIGURES)
    assert (figures["pass_at_1"], figures["exact_match"]) == (0.5, 0.25)
    assert verdict_counts(found) == {Verdict.PASSED: 2, Verdict.WRONG: 1, Verdict.UNPARSABLE: 1}


def test_the_share_of_empty_lines_is_told() -> None:
    found = solutions("    b = a + a", "", "    ", "    b = (")
    assert figures_of(found, FIGURES)["empty"] == 0.5


async def test_an_engine_writes_the_line() -> None:
    async with engine_that_writes("    b = 2 * a\n    c = 3") as engine:
        ((attempt,),) = await complete_all(
            [engine], [DOUBLE], limit_tokens=64, advance=lambda: None
        )
    assert attempt.completion == "    b = 2 * a"


def test_the_program_is_prompt_line_suffix_test_and_call() -> None:
    assert program(LAST_LINE, "    return a") == (
        "def identity(a):\n    return a\n\n"
        "def check(candidate):\n    assert candidate(3) == 3\n\n"
        "check(identity)\n"
    )


def encoded(*problems: Problem) -> bytes:
    return b"".join(msgspec.json.encode(problem) + b"\n" for problem in problems)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_problems_are_read_packed_or_not(pack, tmp_path: Path) -> None:
    path = tmp_path / "problems"
    path.write_bytes(pack(encoded(DOUBLE, LAST_LINE)))
    assert read_problems(path) == [DOUBLE, LAST_LINE]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no problems"),
        (b"hello", "holds no infilling problems"),
        (b'{"task_id": "a"}', "missing required field `entry_point`"),
        (b"\xff\xfe", "holds no infilling problems"),
        (gzip.compress(encoded(DOUBLE))[:-9], "holds no infilling problems"),
        (gzip.compress(encoded(DOUBLE), mtime=0)[:12] + b"\0" * 40, "holds no infilling problems"),
    ],
)
def test_what_holds_no_problems_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "problems"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=message):
        read_problems(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"cannot read .*nothing"):
        read_problems(tmp_path / "nothing")
