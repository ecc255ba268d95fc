"""Several engines on one host: one process, and what one of them does is no other's trouble."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from inference.completion import CompletionRequest, FinishReason
from inference.engine import EngineState
from inference.serving.patience import Patience
from inference.serving.shared.place import Place
from inference.serving.supervised import SupervisedEngine
from inference.serving.wire import MAX_FRAME_BYTES, Ping, encode
from tests.support import fake_host
from tests.support.fake_host_scripted import ENVIRONMENT, STUCK, TEXT
from tests.support.fake_shared_host import place_in
from tests.support.processes import processes_with
from tests.support.until import until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no host that is shared"),
    pytest.mark.e2e,
]

TIMEOUT_S = 30.0
QUICK = Patience(heartbeat_s=600.0, first_delay_s=0.01)
WATCHFUL = Patience(heartbeat_s=0.1, silent_beats=20, stalled_s=0.5, first_delay_s=0.01)
OWN = (sys.executable, fake_host.__file__)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for sockets, as pytest's own has too long a path. What still runs there is ended."""
    with tempfile.TemporaryDirectory(prefix="inkling-tests-") as name:
        yield Path(name)
        for process in processes_with(Path(name)):
            with contextlib.suppress(psutil.Error):
                process.kill()


@contextlib.asynccontextmanager
async def engines_on(
    place: Place, number: int, *, patience: Patience = QUICK
) -> AsyncGenerator[list[SupervisedEngine]]:
    engines = [
        SupervisedEngine(OWN, patience=patience, environment=ENVIRONMENT, find_place=lambda: place)
        for _ in range(number)
    ]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(engine.wait_ready() for engine in engines))
            yield engines
    finally:
        for engine in engines:
            await engine.close()


async def check_serves(*engines: SupervisedEngine) -> int | None:
    """Every engine answers, and all of them from one process, which is returned."""
    for engine in engines:
        await engine.wait_ready()
        request = CompletionRequest(document="a", prefix="x = ", max_tokens=len(TEXT))
        assert (await engine.complete(request)).text == TEXT
    (process_id,) = {engine.status().process_id for engine in engines}
    assert process_id is not None
    return process_id


async def test_engines_that_start_at_once_share_one_process(folder: Path) -> None:
    async with engines_on(place_in(folder), 5) as engines:
        process_id = await check_serves(*engines)
        assert [process.pid for process in processes_with(folder)] == [process_id]
        assert psutil.Process(process_id).ppid() != os.getpid()


async def test_one_that_goes_leaves_the_others_alone(folder: Path) -> None:
    async with engines_on(place_in(folder), 2) as (first, second):
        before = await check_serves(first, second)
        await first.close()
        assert await check_serves(second) == before


async def test_the_host_ends_some_time_behind_the_last_editor(folder: Path) -> None:
    place = place_in(folder, linger_s=0.3)
    async with engines_on(place, 1) as engines:
        first = await check_serves(*engines)
    async with engines_on(place, 1) as engines:
        assert await check_serves(*engines) == first, "who comes in time finds it"
    await until(lambda: not processes_with(folder))
    assert not place.socket.exists()
    async with engines_on(place, 1) as engines:
        assert await check_serves(*engines) != first


async def test_a_host_that_is_killed_is_another_one_for_all(folder: Path) -> None:
    async with engines_on(place_in(folder), 3) as engines:
        before = await check_serves(*engines)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: all(engine.status().num_restarts == 1 for engine in engines))
        assert await check_serves(*engines) != before


async def test_a_host_that_is_stuck_is_ended_for_all(folder: Path) -> None:
    async with engines_on(place_in(folder), 2, patience=WATCHFUL) as (first, second):
        before = await check_serves(first, second)
        request = CompletionRequest(document="a", prefix=STUCK, deadline_ms=600_000)
        found = await first.complete(request)
        assert found.finish_reason is FinishReason.UNAVAILABLE
        await until(lambda: second.status().num_restarts > 0)
        assert await check_serves(first, second) != before


async def test_a_restart_that_is_asked_for_is_one_for_all(folder: Path) -> None:
    async with engines_on(place_in(folder), 2) as (first, second):
        before = await check_serves(first, second)
        first.restart()
        await until(lambda: second.status().num_restarts > 0)
        assert await check_serves(first, second) != before


async def test_to_give_up_the_model_is_for_oneself_alone(folder: Path) -> None:
    async with engines_on(place_in(folder), 2) as (first, second):
        before = await check_serves(first, second)
        first.stop("not now")
        assert first.status().state is EngineState.FAILED
        assert await check_serves(second) == before
        first.retry()
        await until(lambda: first.status().state is EngineState.READY)
        assert await check_serves(first, second) == before


async def test_another_model_is_another_place(folder: Path) -> None:
    (folder / "b").mkdir()
    chosen = [place_in(folder)]
    engine = SupervisedEngine(
        OWN,
        patience=WATCHFUL,
        environment=ENVIRONMENT,
        choice=lambda: chosen[0].socket,
        find_place=lambda: chosen[0],
    )
    async with engines_on(chosen[0], 1) as (other,):
        before = await check_serves(engine, other)
        chosen[0] = place_in(folder / "b")
        await until(lambda: engine.status().process_id not in (before, None))
        await check_serves(engine)
        assert await check_serves(other) == before
    await engine.close()


NONSENSE = {
    "no message": (5).to_bytes(4, "little") + b"hello",
    "a frame that is too long": (MAX_FRAME_BYTES + 1).to_bytes(4, "little"),
    "half a message": encode(Ping())[:-1],
    "nothing": b"",
}


@pytest.mark.parametrize("sent", NONSENSE.values(), ids=NONSENSE)
async def test_who_sends_nonsense_loses_its_own_connection(sent: bytes, folder: Path) -> None:
    place = place_in(folder)
    async with engines_on(place, 1) as engines:
        before = await check_serves(*engines)
        reader, writer = await asyncio.open_unix_connection(os.fspath(place.socket))
        writer.write(sent)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert await check_serves(*engines) == before


async def test_who_does_not_read_is_left(folder: Path) -> None:
    place = place_in(folder)
    async with engines_on(place, 1) as engines:
        before = await check_serves(*engines)
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(os.fspath(place.socket))
            pings = encode(Ping()) * 100_000
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while True:
                    await asyncio.to_thread(deaf.sendall, pings)
        assert await check_serves(*engines) == before


async def test_what_an_earlier_host_left_is_replaced(folder: Path) -> None:
    place = place_in(folder)
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(os.fspath(place.socket))
    place.lock.touch()
    place.log.write_text("an earlier host said so\n")
    async with engines_on(place, 1) as engines:
        await check_serves(*engines)
        assert "earlier" not in place.log.read_text()
        assert place.socket.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        lambda place: replace(place, command=("/nowhere/at/all",)),
        lambda place: replace(place, command=(sys.executable, "-c", "raise SystemExit(1)")),
        lambda place: replace(place, socket=place.folder / "no" / "folder.sock"),
        lambda place: replace(place, command=(sys.executable, "-c", "")),
    ],
    ids=["no such program", "a program that fails", "no such folder", "nobody listens"],
)
async def test_where_nothing_can_be_shared_the_engine_is_ones_own(
    change: Callable[[Place], Place],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("inference.serving.shared.attached.START_S", 0.2)
    async with engines_on(change(place_in(folder)), 1) as (engine,):
        found = await engine.complete(CompletionRequest(document="a", prefix="x"))
        assert found.text == "X"
        assert engine.status().process_id in {child.pid for child in psutil.Process().children()}
    assert "no engine can be shared" in caplog.text
