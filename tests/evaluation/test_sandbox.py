"""Programs that misbehave are stopped, and told apart from those that are only wrong."""

import functools
import socket
import tempfile
from pathlib import Path

import pytest

from evaluation import candidate, sandbox
from evaluation.sandbox import Isolation, Limits, Verdict, find_isolation, run, run_all
from inference.errors import EvaluationError

PATIENT = Limits(wall_seconds=60.0, cpu_seconds=30)
"""On a busy machine nothing but what a test is about may run out."""


@functools.cache
def isolation() -> Isolation:
    return find_isolation()


def check(program: str, verdict: Verdict, *, limits: Limits = PATIENT) -> None:
    assert run(program, isolation(), limits) is verdict


def test_a_program_that_ends_has_passed() -> None:
    check("import math\nassert math.sqrt(4) == 2", Verdict.PASSED)


def test_a_failed_assertion_is_wrong() -> None:
    check("assert 1 == 2", Verdict.WRONG)


def test_an_exception_is_raised() -> None:
    check("1 / 0", Verdict.RAISED)


def test_what_is_no_program_is_unparsable() -> None:
    check("def f(:", Verdict.UNPARSABLE)


def test_leaving_early_is_not_passing() -> None:
    check("import sys\nsys.exit(0)", Verdict.RAISED)


def test_leaving_without_a_word_is_not_passing() -> None:
    check("import os\nos._exit(0)", Verdict.KILLED)


def test_reading_further_input_finds_none() -> None:
    check("input()", Verdict.RAISED)


def test_printing_does_no_harm() -> None:
    check("print('a' * 1_000_000)", Verdict.PASSED)


def test_endless_recursion_is_raised() -> None:
    check("def f(): f()\nf()", Verdict.RAISED)


def test_waiting_for_ever_is_cut_short() -> None:
    limits = Limits(wall_seconds=0.7)
    check("import time\nwhile True: time.sleep(1)", Verdict.OUT_OF_TIME, limits=limits)


@pytest.mark.slow
def test_looping_for_ever_is_cut_short() -> None:
    limits = Limits(wall_seconds=60.0, cpu_seconds=1)
    check("while True: pass", Verdict.OUT_OF_TIME, limits=limits)


@pytest.mark.slow
def test_looping_for_ever_in_spite_of_a_polite_request_is_cut_short() -> None:
    program = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    limits = Limits(wall_seconds=60.0, cpu_seconds=1)
    check(program, Verdict.OUT_OF_TIME, limits=limits)


def test_memory_at_once_is_refused() -> None:
    check("a = bytearray(1 << 30)", Verdict.OUT_OF_MEMORY)


def test_memory_bit_by_bit_is_refused() -> None:
    limits = Limits(wall_seconds=60.0, num_bytes=128 << 20)
    program = "a = []\nwhile True: a.append(bytearray(1 << 20))"
    check(program, Verdict.OUT_OF_MEMORY, limits=limits)


@pytest.mark.parametrize(
    "program",
    [
        "import os\nos.fork()",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.system('true')",
        "import threading\nthreading.Thread(target=print).start()",
        "from concurrent.futures import ProcessPoolExecutor as P\nlist(P(1).map(abs, [1]))",
    ],
)
def test_a_further_process_is_refused(program: str) -> None:
    check(program, Verdict.RAISED)


def test_a_limit_of_processes_that_does_not_hold_is_found_out() -> None:
    """Before anything runs the child tries to fork, which only the kernel can refuse it then."""
    with pytest.raises(EvaluationError, match="was not run"):
        run("pass", isolation(), Limits(num_processes=100_000))


@pytest.mark.parametrize(
    "program",
    [
        "import socket\nsocket.socket()",
        "import _socket\n_socket.socket()",
        "import socket\nsocket.create_connection(('127.0.0.1', {port}))",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')",
        "import asyncio\nasyncio.run(asyncio.open_connection('127.0.0.1', {port}))",
    ],
)
def test_sockets_are_refused(program: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check(program.replace("{port}", str(port)), Verdict.RAISED)


def test_in_its_namespace_there_is_no_network() -> None:
    """Behind two lines of headings the loopback device alone, and no route to anywhere."""
    if isolation() != "namespace":
        pytest.skip("this machine permits no network namespace")
    check(
        "lines = open('/proc/self/net/dev').read().splitlines()[2:]\n"
        "assert [line.split(':')[0].strip() for line in lines] == ['lo'], lines\n"
        "assert open('/proc/self/net/route').read().count('\\n') <= 1\n",
        Verdict.PASSED,
    )


def test_a_small_file_of_its_own_is_allowed_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check("open('a', 'w').write('b')\nassert open('a').read() == 'b'", Verdict.PASSED)
    assert list(tmp_path.iterdir()) == []


def test_its_folder_is_empty() -> None:
    check("import os\nassert os.listdir() == []", Verdict.PASSED)


def test_its_environment_is_empty() -> None:
    check("import os\nassert set(os.environ) <= {'LC_CTYPE'}, os.environ", Verdict.PASSED)


def test_a_large_file_is_refused() -> None:
    check("open('a', 'w').write('b' * (1 << 21))", Verdict.RAISED)


@pytest.mark.parametrize(
    "program",
    [
        "open({path!r}, 'w').write('b')",
        "open({path!r}, 'a').write('b')",
        "import os\nos.open({path!r}, os.O_WRONLY | os.O_TRUNC)",
        "import os\nos.remove({path!r})",
        "import os\nos.rename({path!r}, 'a')",
        "import os\nos.truncate({path!r}, 0)",
        "import os\nos.chmod({path!r}, 0)",
        "import os\nos.symlink({path!r}, 'a')\nopen('a', 'w')",
        "import shutil\nshutil.rmtree({folder!r})",
        "import pathlib\npathlib.Path({path!r}).unlink()",
    ],
)
def test_files_outside_its_folder_are_left_alone(program: str, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("kept")
    check(program.format(path=str(path), folder=str(tmp_path)), Verdict.RAISED)
    assert path.read_text() == "kept"


@pytest.mark.parametrize(
    "program",
    ["import os\nos.kill(os.getppid(), 9)", "import ctypes\nctypes.CDLL(None)"],
)
def test_ways_around_are_refused(program: str) -> None:
    check(program, Verdict.RAISED)


def test_catching_everything_does_not_help() -> None:
    program = "import socket\ntry:\n    socket.socket()\nexcept BaseException:\n    assert False"
    check(program, Verdict.WRONG)


def test_many_run_side_by_side_and_keep_their_order() -> None:
    done: list[None] = []
    programs = ["pass", "assert False", "1 / 0", "pass"]
    verdicts = run_all(programs, isolation(), num_workers=2, advance=lambda: done.append(None))
    assert verdicts == [Verdict.PASSED, Verdict.WRONG, Verdict.RAISED, Verdict.PASSED]
    assert len(done) == 4


def test_where_limits_cannot_be_set_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.sandbox.importlib.util.find_spec", lambda _: None)
    with pytest.raises(EvaluationError, match="use Linux or macOS"):
        find_isolation()


def test_where_limits_do_not_hold_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_status", lambda *_: candidate.NO_LIMITS)
    with pytest.raises(EvaluationError, match="do not hold here"):
        find_isolation()


def test_without_a_namespace_sockets_are_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = {"namespace": candidate.NO_NAMESPACE, "refusal": candidate.PASSED}
    monkeypatch.setattr(sandbox, "_status", lambda _, wanted, __: statuses[wanted])
    assert find_isolation() == "refusal"
