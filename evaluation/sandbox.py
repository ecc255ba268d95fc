"""Run programs that a model has written, and only under limits.

Each runs in a process of its own: no network, little time and memory, small files, no further
process, an empty folder, an empty environment, and no way to answer but its exit status. Where
any of this cannot be had, nothing is run. It keeps honest mistakes from doing harm; it is no
fortress against a program that was written to break out.
"""

import importlib.util
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from importlib import resources
from typing import Final, Literal

import msgspec

from evaluation import candidate
from inference.errors import EvaluationError

Isolation = Literal["namespace", "refusal"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A solution of the benchmark's problems needs a tenth of this."""

    wall_seconds: float = 10.0
    cpu_seconds: int = 5
    num_bytes: int = 512 << 20
    num_file_bytes: int = 1 << 20
    num_files: int = 32
    num_processes: int = 1


DEFAULT_LIMITS: Final = Limits()


class Verdict(StrEnum):
    PASSED = "passed"
    WRONG = "wrong"
    """An assertion failed."""

    RAISED = "raised"
    UNPARSABLE = "unparsable"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_TIME = "out_of_time"
    KILLED = "killed"


VERDICTS: Final = {
    candidate.PASSED: Verdict.PASSED,
    candidate.WRONG: Verdict.WRONG,
    candidate.RAISED: Verdict.RAISED,
    candidate.UNPARSABLE: Verdict.UNPARSABLE,
    candidate.OUT_OF_MEMORY: Verdict.OUT_OF_MEMORY,
}


def find_isolation() -> Isolation:
    """Return the strongest isolation from the network that this machine permits.

    Raises EvaluationError where the limits cannot be set or do not hold.
    """
    if importlib.util.find_spec("resource") is None:
        raise EvaluationError(
            f"{sys.platform} cannot limit what a program uses, so none is run; use Linux or macOS"
        )
    if _status("", "namespace", DEFAULT_LIMITS) == candidate.PASSED:
        return "namespace"
    status = _status("", "refusal", DEFAULT_LIMITS)
    if status != candidate.PASSED:
        raise EvaluationError(
            f"the limits for running programs do not hold here (status {status}), so none is run; "
            "try as an ordinary user"
        )
    return "refusal"


def run_all(
    programs: Sequence[str],
    isolation: Isolation,
    *,
    num_workers: int,
    advance: Callable[[], None],
    limits: Limits = DEFAULT_LIMITS,
) -> list[Verdict]:
    """Return what became of each program; `advance` is called after each, from any thread."""

    def run_one(program: str) -> Verdict:
        verdict = run(program, isolation, limits)
        advance()
        return verdict

    with ThreadPoolExecutor(num_workers) as pool:
        return list(pool.map(run_one, programs))


def run(program: str, isolation: Isolation, limits: Limits) -> Verdict:
    """Run one program. Raises EvaluationError, before any of it ran, where the limits fail."""
    try:
        status = _status(program, isolation, limits)
    except subprocess.TimeoutExpired:
        return Verdict.OUT_OF_TIME
    if status in {candidate.NO_NAMESPACE, candidate.NO_LIMITS}:
        raise EvaluationError(f"a program could not be isolated (status {status}) and was not run")
    if status == -signal.SIGXCPU:
        return Verdict.OUT_OF_TIME
    return VERDICTS.get(status, Verdict.KILLED)


def _status(program: str, isolation: Isolation, limits: Limits) -> int:
    source = (resources.files("evaluation") / "candidate.py").read_text("utf-8")
    numbers = (
        limits.cpu_seconds,
        limits.num_bytes,
        limits.num_file_bytes,
        limits.num_files,
        limits.num_processes,
    )
    # -I and -S: no user's packages, no site; what may be imported is the standard library
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", source, isolation]
    with tempfile.TemporaryDirectory(prefix="inkling-") as folder:
        return subprocess.run(  # noqa: S603 - the command is ours; the program is what it limits
            [*command, *map(str, numbers)],
            check=False,
            cwd=folder,
            env={},
            input=program.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limits.wall_seconds,
        ).returncode
