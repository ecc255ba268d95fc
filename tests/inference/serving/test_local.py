"""LocalEngine: what asyncio sees of the engine thread."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.decoding.loaded import LoadedModel
from inference.decoding.pace import MEASURED_RUNS
from inference.engine import EngineState
from inference.errors import InvalidModelError, InvalidRequestError
from inference.package.manifest import (
    MODEL_FILE,
    TOKENIZER_FILE,
    file_entry,
    read_manifest,
    write_manifest,
)
from inference.package.store import embedded_folder
from inference.serving.local import LocalEngine, load_package
from tests.support.scripted_model import ScriptedModel, loaded, playing
from tests.support.until import until

TIMEOUT = 10.0
REQUEST = CompletionRequest(document="a", prefix="x = ")


class Stage:
    """A model whose third run waits until it is let go or cancelled, and tells when it is there."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.go_on = threading.Event()

    def on_forward(self, run: int) -> None:
        if run == len(MEASURED_RUNS) + 3:
            self.arrived.set()
            assert self.go_on.wait(TIMEOUT)

    def load(self) -> LoadedModel:
        release = self.go_on.set
        model = ScriptedModel(playing("abcdef"), on_forward=self.on_forward, on_cancel=release)
        return loaded(model)

    async def wait_arrived(self) -> None:
        assert await asyncio.to_thread(self.arrived.wait, TIMEOUT)


async def opened(load: Callable[[], LoadedModel]) -> LocalEngine:
    engine = LocalEngine(load)
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT)
    return engine


async def check(completion: "asyncio.Future[Completion]", *, gives: FinishReason | str) -> None:
    found = await asyncio.wait_for(completion, TIMEOUT)
    assert gives in {found.finish_reason, found.text}
    assert not found.text or found.text == gives


async def test_it_answers() -> None:
    engine = await opened(lambda: loaded(ScriptedModel(playing("1"))))
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives="1")
    assert engine.status().model == "scripted"
    await engine.close()


async def test_a_newer_request_supersedes_a_running_one() -> None:
    stage = Stage()
    engine = await opened(stage.load)
    older = asyncio.ensure_future(engine.complete(REQUEST))
    await stage.wait_arrived()
    newer = asyncio.ensure_future(engine.complete(REQUEST))
    await check(older, gives=FinishReason.SUPERSEDED)
    await check(newer, gives="abcdef")
    await engine.close()


async def test_cancelling_the_await_stops_the_model() -> None:
    stage = Stage()
    engine = await opened(stage.load)
    request = asyncio.ensure_future(engine.complete(REQUEST))
    await stage.wait_arrived()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives="abcdef")
    await engine.close()


async def test_a_model_that_nobody_asks_rests_until_somebody_does() -> None:
    model = ScriptedModel(playing("1"))
    engine = LocalEngine(lambda: loaded(model), rest_after_s=0.02)
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT)
    assert (await engine.complete(REQUEST)).text == "1"
    await until(lambda: model.num_rests == 1)
    assert (await engine.complete(REQUEST)).text == "1"
    await until(lambda: model.num_rests == 2)
    await asyncio.sleep(0.06)
    assert model.num_rests == 2  # once for each time that somebody came
    await engine.close()


async def test_a_package_that_changed_while_it_rested_is_not_taken_for_the_one_that_was(
    tmp_path: Path,
) -> None:
    shutil.copytree(embedded_folder(), tmp_path, dirs_exist_ok=True)
    engine = LocalEngine(lambda: load_package(tmp_path), rest_after_s=0.02)
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT)
    await engine.complete(REQUEST)
    os.utime(tmp_path / MODEL_FILE, ns=(1, 1))
    found = await engine.complete(REQUEST)
    while found.text:
        await asyncio.sleep(0.1)
        found = await engine.complete(REQUEST)
    assert found.finish_reason is FinishReason.UNAVAILABLE
    assert engine.status().state is EngineState.FAILED
    assert "has changed since it was loaded" in engine.status().message
    await engine.close()


async def test_the_deadline_gives_what_is_written() -> None:
    stage = Stage()
    engine = await opened(stage.load)
    request = CompletionRequest(document="a", prefix="x = ", deadline_ms=50)
    answer = asyncio.ensure_future(engine.complete(request))
    await stage.wait_arrived()
    await check(answer, gives="a")
    await engine.close()


async def test_while_it_loads_there_is_no_text() -> None:
    may_load = threading.Event()

    def load() -> LoadedModel:
        assert may_load.wait(TIMEOUT)
        return loaded(ScriptedModel(playing("1")))

    engine = LocalEngine(load)
    assert engine.status().state is EngineState.LOADING
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives=FinishReason.UNAVAILABLE)
    may_load.set()
    await asyncio.wait_for(engine.wait_ready(), TIMEOUT)
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives="1")
    await engine.close()


async def test_a_bad_model_is_a_status_not_an_exception() -> None:
    def load() -> LoadedModel:
        raise InvalidModelError("model.onnx is truncated; export again")

    engine = await opened(load)
    assert engine.status().state is EngineState.FAILED
    assert engine.status().message == "model.onnx is truncated; export again"
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives=FinishReason.UNAVAILABLE)
    await engine.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_library_that_panics_while_loading_is_a_status_too() -> None:
    class Panic(BaseException):
        pass

    def load() -> LoadedModel:
        raise Panic

    engine = await opened(load)
    assert engine.status().state is EngineState.FAILED
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives=FinishReason.UNAVAILABLE)
    await engine.close()


def test_a_control_token_ends_a_completion_flagged_or_not_and_without_a_layout(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "package"
    shutil.copytree(embedded_folder(), folder)
    path = folder / TOKENIZER_FILE
    path.write_text(path.read_text("utf-8").replace('"special": true', '"special": false'), "utf-8")
    manifest = read_manifest(folder)
    files = manifest.files | {TOKENIZER_FILE: file_entry(path)}
    write_manifest(replace(manifest, fim=None, files=files), folder)
    found = load_package(folder)
    assert found.end_token_ids == load_package(embedded_folder()).end_token_ids
    text = 'm = "<|fim_suffix|><|endoftext|>"'
    assert found.end_token_ids.isdisjoint(found.tokenizer.encode(text))


async def test_a_bug_costs_one_answer_and_shows_no_text(caplog: pytest.LogCaptureFixture) -> None:
    document = "private"

    def fail_once(run: int) -> None:
        if run == len(MEASURED_RUNS) + 1:
            raise RuntimeError(document)

    engine = await opened(lambda: loaded(ScriptedModel(playing("1"), on_forward=fail_once)))
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives=FinishReason.FAILED)
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives="1")
    assert "RuntimeError" in caplog.text
    assert document not in caplog.text
    await engine.close()


@pytest.mark.parametrize("max_tokens", [0, -1, 513])
async def test_a_request_out_of_bounds_is_refused(max_tokens: int) -> None:
    engine = await opened(lambda: loaded(ScriptedModel(playing("1"))))
    with pytest.raises(InvalidRequestError, match="max_tokens"):
        await engine.complete(CompletionRequest(document="a", prefix="", max_tokens=max_tokens))
    await engine.close()


async def test_closing_answers_what_runs_and_may_be_done_twice() -> None:
    stage = Stage()
    engine = await opened(stage.load)
    answer = asyncio.ensure_future(engine.complete(REQUEST))
    await stage.wait_arrived()
    closing = asyncio.ensure_future(engine.close())
    await check(answer, gives=FinishReason.UNAVAILABLE)
    await closing
    await engine.close()
    await check(asyncio.ensure_future(engine.complete(REQUEST)), gives=FinishReason.UNAVAILABLE)
