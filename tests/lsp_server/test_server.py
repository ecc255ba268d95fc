import asyncio
import os
from collections.abc import Sequence

import pytest
from lsprotocol.types import MessageType

from inference import CompletionRequest, EngineState, EngineStatus, FinishReason
from lsp_server import server as server_module
from lsp_server.framing import FrameParser, frame
from lsp_server.server import serve
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.sessions import URI, Session, turns

PATIENCE_SECONDS = 30.0
HELD = Script(is_held=True)
FAILED = EngineStatus(
    state=EngineState.FAILED, message="no manifest.json in /m; run inkling export"
)


async def check_answers(*uris: str, reasons: Sequence[FinishReason]) -> None:
    """Ask for each document in turn, let the engine go on, compare how each request ended."""
    session = Session(ScriptedEngine(HELD))
    tasks = [asyncio.ensure_future(session.server.complete(_request(uri))) for uri in uris]
    await turns()
    session.engine.release()
    completions = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_SECONDS)
    assert [completion.finish_reason for completion in completions] == list(reasons)
    assert len(session.engine.log.requests) == len(uris)
    assert session.engine.log.num_cancelled == 0


async def test_a_single_request_is_answered() -> None:
    await check_answers(URI, reasons=[FinishReason.BLOCK])


async def test_which_request_of_a_document_is_the_latest_the_engine_knows() -> None:
    old, new = FinishReason.SUPERSEDED, FinishReason.BLOCK
    await check_answers(URI, URI, URI, reasons=[old, old, new])


async def test_requests_of_two_documents_leave_each_other_alone() -> None:
    await check_answers(URI, "file:///other.py", reasons=[FinishReason.BLOCK, FinishReason.BLOCK])


async def test_a_cancelled_request_cancels_the_engine_and_is_no_answer() -> None:
    session = Session(ScriptedEngine(HELD))
    task = asyncio.ensure_future(session.server.complete(_request(URI)))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.engine.log.num_cancelled == 1


async def test_an_engine_that_cannot_load_is_reported_once() -> None:
    session = Session(
        ScriptedEngine(Script(text="", finish_reason=FinishReason.UNAVAILABLE), FAILED)
    )
    session.initialize()
    session.server.start_engine()
    for _ in range(3):
        await session.server.complete(_request(URI))
    (message,) = session.kept.messages
    assert message["method"] == "window/showMessage"
    assert message["params"] == {"type": MessageType.Error, "message": f"Inkling: {FAILED.message}"}


async def test_which_model_completes_stands_in_the_log_once() -> None:
    session = Session(ScriptedEngine(status=EngineStatus(state=EngineState.READY, model="first")))
    session.initialize()
    for model in ("first", "first", "second"):
        session.engine._status = EngineStatus(state=EngineState.READY, model=model)
        await session.server.complete(_request(URI))
    told = [(message["method"], message["params"]["message"]) for message in session.kept.messages]
    assert told == [
        ("window/logMessage", "Inkling: first completes"),
        ("window/logMessage", "Inkling: second completes"),
    ]


async def test_an_engine_that_fails_later_is_reported() -> None:
    session = Session(ScriptedEngine(Script(text="", finish_reason=FinishReason.FAILED)))
    session.initialize()
    await session.server.complete(_request(URI))
    assert session.kept.messages == [], "an engine that is ready has nothing to report"
    session.engine._status = FAILED
    await session.server.complete(_request(URI))
    assert len(session.kept.messages) == 1


async def test_an_engine_that_raises_while_it_starts_is_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> EngineStatus:
        raise OSError("no such program")

    session = Session()
    session.engine.wait_ready = fail
    session.server.start_engine()
    await turns()
    assert "the engine failed to start: OSError" in caplog.text
    completion = await session.server.complete(_request(URI))
    assert completion.finish_reason is FinishReason.BLOCK


async def test_a_session_ends_with_its_input_and_closes_the_engine() -> None:
    session, code, sent = await _serve(b"")
    assert code == 1
    assert session.engine.log.num_closed == 1
    assert sent == []


async def test_a_broken_stream_is_answered_before_the_end() -> None:
    _, code, sent = await _serve(frame(b"{") + b"nonsense\r\n\r\n")
    assert code == 1
    assert [b"-32700" in sent[0], b"-32600" in sent[1], len(sent)] == [True, True, 2]


async def test_an_engine_that_does_not_close_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server_module, "LEAVING_SECONDS", 0.01)
    engine = ScriptedEngine()
    engine.close = never
    _, code, _ = await _serve(b"", engine)
    assert code == 1


async def _serve(
    data: bytes, engine: ScriptedEngine | None = None
) -> tuple[Session, int, list[bytes]]:
    """Serve a client that sends `data` and closes; return the exit code and what was sent."""
    session = Session(engine)
    read_fd, to_server = os.pipe()
    from_server, write_fd = os.pipe()
    os.write(to_server, data)
    os.close(to_server)
    serving = serve(session.server, read_fd, write_fd)
    code = await asyncio.wait_for(serving, PATIENCE_SECONDS)
    os.close(write_fd)
    sent = list(FrameParser().feed(os.read(from_server, 1 << 16)))
    os.close(read_fd)
    os.close(from_server)
    return session, code, sent


def _request(uri: str) -> CompletionRequest:
    return CompletionRequest(document=uri, prefix="a")
