"""Two editors of one user: one engine between them, which outlives the one that started it."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import children_named, processes_with
from tests.support.raw_client import INKLING_LSP, PATIENCE_SECONDS, RawClient, inline_params

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no engine that is shared"),
]

TEXT = "def add(first, second):\n    return "


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime folder; the engine that is left there is ended."""
    with tempfile.TemporaryDirectory(prefix="inkling-tests-") as name:
        yield Path(name)
        for process in processes_with(Path(name)):
            with contextlib.suppress(psutil.Error):
                process.kill()


def editor(runtime: Path, **environment: str) -> RawClient:
    given = {"XDG_RUNTIME_DIR": str(runtime), "INKLING_SHARE": "1", **environment}
    client = RawClient(INKLING_LSP, env={**os.environ, **given})
    client.initialize()
    client.open(TEXT)
    return client


def check_completes(client: RawClient) -> None:
    """Ask until the engine is there; what it writes is no concern of this test."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not client.result("textDocument/inlineCompletion", inline_params(1, 11)):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_two_editors_have_one_engine_and_the_second_keeps_it(runtime: Path) -> None:
    with editor(runtime) as first, editor(runtime) as second:
        for client in (first, second):
            check_completes(client)
        (engine,) = processes_with(runtime)
        for client in (first, second):
            assert not children_named("inference.serving", client.process.pid)
        first.process.kill()
        first.finish()
        check_completes(second)
        assert processes_with(runtime) == [engine]


@pytest.mark.parametrize("environment", [{"INKLING_SHARE": "0"}, {"XDG_RUNTIME_DIR": "/dev/null"}])
def test_an_editor_may_have_its_own(environment: dict[str, str], runtime: Path) -> None:
    with editor(runtime, **environment) as client:
        check_completes(client)
        assert children_named("inference.serving.host", client.process.pid)
        assert not processes_with(runtime)
