"""The engine host: messages in, messages out, in this process; and how its own process ends."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator

import msgspec
import pytest

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.engine import EngineState, EngineStatus
from inference.errors import InvalidRequestError
from inference.serving.host import Host
from inference.serving.wire import (
    MAX_FRAME_BYTES,
    Answer,
    Cancel,
    Complete,
    Failed,
    FromHost,
    Leave,
    Ping,
    Pong,
    Shutdown,
    Status,
    ToHost,
    encode,
    read_from_host,
)
from tests.support import fake_host_scripted

TIMEOUT_S = 30.0
DOCUMENT_TEXT = "password = 'canary'"
LOADING = EngineStatus(state=EngineState.LOADING)
READY = EngineStatus(state=EngineState.READY, model="scripted")
COMPLETION = Completion(text="1", finish_reason=FinishReason.LINE)

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a lost parent")


class Panic(BaseException):
    """What a panic in tokenizers is: no Exception."""


class ScriptedEngine:
    """Answers what it is told to; `load` may raise."""

    def __init__(
        self, answer: Completion | BaseException | None, load: BaseException | None
    ) -> None:
        self._answer = answer
        self._load = load
        self.current = LOADING
        self.num_cancelled = 0
        self.left: list[str] = []
        self.may_load = asyncio.Event()

    async def complete(self, request: CompletionRequest) -> Completion:
        match self._answer:
            case None:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.num_cancelled += 1
                raise AssertionError
            case BaseException() as error:
                raise error
            case completion:
                return completion

    async def wait_ready(self) -> EngineStatus:
        await self.may_load.wait()
        if self._load is not None:
            raise self._load
        self.current = READY
        return READY

    def status(self) -> EngineStatus:
        return self.current

    def leave(self, document: str) -> None:
        self.left.append(document)

    def retry(self) -> None:
        pass

    def stalled_ms(self) -> float:
        return 70.0

    async def close(self) -> None:
        pass


class Connection:
    """A host whose other side is this test."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._received: asyncio.Queue[FromHost] = asyncio.Queue()
        self.host = Host(engine, self._take)

    def _take(self, message: FromHost) -> None:
        encode(message)  # as the pipe does; it may raise
        self._received.put_nowait(message)

    def send(self, message: ToHost) -> None:
        self.host.feed(encode(message))

    async def receive(self) -> FromHost:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._received.get()

    def is_quiet(self) -> bool:
        return self._received.empty()


@contextlib.asynccontextmanager
async def connected(
    *, answer: Completion | BaseException | None = COMPLETION, load: BaseException | None = None
) -> AsyncGenerator[tuple[Connection, ScriptedEngine]]:
    engine = ScriptedEngine(answer, load)
    connection = Connection(engine)
    serving = asyncio.create_task(connection.host.serve())
    assert await connection.receive() == Status(LOADING)
    yield connection, engine
    connection.send(Shutdown())
    async with asyncio.timeout(TIMEOUT_S):
        await serving
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def check(*, answer: Completion | BaseException, gives: FromHost) -> None:
    """One request gets this answer, and the next request gets its own."""
    async with connected(answer=answer) as (connection, _):
        for _ in range(2):
            connection.send(Complete(1, CompletionRequest(document="a", prefix=DOCUMENT_TEXT)))
            assert await connection.receive() == gives
        assert connection.is_quiet()


async def test_a_request_is_answered() -> None:
    await check(answer=COMPLETION, gives=Answer(1, COMPLETION))


async def test_the_engine_hears_which_documents_were_left() -> None:
    async with connected() as (connection, engine):
        connection.send(Leave("a"))
        assert engine.left == ["a"]


async def test_an_error_of_ours_is_told_in_its_words() -> None:
    error = InvalidRequestError("max_tokens is 0; ask for one at least")
    await check(answer=error, gives=Failed(1, "max_tokens is 0; ask for one at least"))


async def test_a_bug_is_told_by_its_type_only() -> None:
    await check(answer=KeyError(DOCUMENT_TEXT), gives=Failed(1, "KeyError in the engine"))


async def test_a_panic_is_survived() -> None:
    await check(answer=Panic(DOCUMENT_TEXT), gives=Failed(1, "Panic in the engine"))


async def test_an_answer_that_does_not_fit_a_frame_fails() -> None:
    too_long = Completion(text="x" * MAX_FRAME_BYTES, finish_reason=FinishReason.LENGTH)
    error = (
        f"a message has {len(msgspec.msgpack.encode(Answer(1, too_long)))} bytes, more than 4194304"
    )
    await check(answer=too_long, gives=Failed(1, error))


async def test_no_document_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    await check(answer=Panic(DOCUMENT_TEXT), gives=Failed(1, "Panic in the engine"))
    assert "Panic in the engine" in caplog.text
    assert "canary" not in caplog.text


async def test_the_status_is_told_again_when_it_is_ready() -> None:
    async with connected() as (connection, engine):
        engine.may_load.set()
        assert await connection.receive() == Status(READY)


async def test_a_panic_while_loading_is_a_status() -> None:
    async with connected(load=Panic(DOCUMENT_TEXT)) as (connection, engine):
        engine.may_load.set()
        status = EngineStatus(
            state=EngineState.FAILED,
            message="loading the model failed with Panic; export it again",
        )
        assert await connection.receive() == Status(status)


async def test_a_ping_is_answered_and_tells_a_status_that_changed() -> None:
    async with connected() as (connection, engine):
        connection.send(Ping())
        assert await connection.receive() == Pong(stalled_ms=70.0)
        engine.current = READY
        connection.send(Ping())
        assert [await connection.receive(), await connection.receive()] == [
            Status(READY),
            Pong(stalled_ms=70.0),
        ]


async def test_a_cancelled_request_is_stopped_and_not_answered() -> None:
    async with connected(answer=None) as (connection, engine):
        connection.send(Complete(1, CompletionRequest(document="a", prefix="")))
        await asyncio.sleep(0)  # let it begin
        connection.send(Cancel(1))
        connection.send(Cancel(1))
        connection.send(Cancel(2))
        connection.send(Ping())
        assert await connection.receive() == Pong(stalled_ms=70.0)
        await asyncio.sleep(0)
        assert engine.num_cancelled == 1
        assert connection.is_quiet()


async def test_what_runs_at_the_end_is_stopped() -> None:
    async with connected(answer=None) as (connection, engine):
        connection.send(Complete(1, CompletionRequest(document="a", prefix="")))
        await asyncio.sleep(0)  # let it begin
    assert engine.num_cancelled == 1


async def test_the_end_of_the_pipe_is_the_end() -> None:
    async with connected() as (connection, _):
        connection.host.feed(b"")
        assert connection.host.finished.is_set()


async def test_a_malformed_frame_is_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as (connection, _):
        connection.host.feed(b"\x01\x00\x00\x00\xc1")
        assert connection.host.finished.is_set()
    assert "is not understood" in caplog.text


@contextlib.contextmanager
def host_process(*, stdin: int = subprocess.PIPE) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        fake_host_scripted.COMMAND,
        env=fake_host_scripted.ENVIRONMENT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: "subprocess.Popen[bytes]", *messages: ToHost) -> None:
    assert process.stdin
    process.stdin.write(b"".join(encode(message) for message in messages))
    process.stdin.flush()


def test_its_stdout_carries_messages_only() -> None:
    with host_process() as process:
        ask(process, Ping(), Shutdown())
        output, errors = process.communicate(timeout=TIMEOUT_S)
    messages = list(read_from_host().feed(output))
    assert Pong(stalled_ms=0.0) in messages
    assert fake_host_scripted.NOISE.encode() in errors
    assert process.returncode == 0


def test_it_ends_with_its_stdin() -> None:
    with host_process() as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert any(isinstance(message, Status) for message in read_from_host().feed(output))
    assert process.returncode == 0


def test_an_interrupt_from_the_terminal_is_not_for_it() -> None:
    with host_process() as process:
        assert process.stdout
        process.stdout.read(1)  # it is up
        process.send_signal(signal.SIGINT)
        ask(process, Shutdown())
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert b"KeyboardInterrupt" not in errors


@needs_linux
def test_it_dies_with_its_parent_though_its_stdin_stays_open() -> None:
    """A third process, here this one, may hold the other end of stdin."""
    read_end, write_end = os.pipe()
    parent = f"import subprocess; subprocess.run({fake_host_scripted.COMMAND!r})"
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        env=fake_host_scripted.ENVIRONMENT,
        stdin=read_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(read_end)
        assert process.stdout
        process.stdout.read(1)  # the host is up
        process.kill()
        # Returns once nobody holds the other end, which is to say that the host is gone.
        process.communicate(timeout=TIMEOUT_S)
    os.close(write_end)


@needs_linux
def test_it_does_not_start_under_another_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "inference.serving.host", "--parent", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, output) == (0, b"")
