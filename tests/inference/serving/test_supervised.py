"""SupervisedEngine: whatever a host does, each request is answered once and nothing is left."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from inference.completion import (
    MAX_REMEMBERED_CHARACTERS,
    Completion,
    CompletionRequest,
    FinishReason,
)
from inference.engine import EngineState
from inference.errors import InvalidRequestError
from inference.serving.patience import Patience
from inference.serving.supervised import SupervisedEngine
from tests.support import fake_host
from tests.support.until import until

TIMEOUT_S = 30.0
# No heartbeat by default: on a busy machine a quick one would kill hosts that are only slow.
QUICK = Patience(heartbeat_s=600.0, first_delay_s=0.01)
WATCHFUL = Patience(heartbeat_s=0.1, silent_beats=10, first_delay_s=0.01)
NOTHING = (FinishReason.UNAVAILABLE, "")


@contextlib.asynccontextmanager
async def engine_on(
    *arguments: str, patience: Patience = QUICK, environment: dict[str, str] | None = None
) -> AsyncGenerator[SupervisedEngine]:
    """An engine on a fake host; afterwards no process, task or descriptor of it may be left."""
    before = resources()
    command = [sys.executable, fake_host.__file__, *arguments]
    engine = SupervisedEngine(command, patience=patience, environment=environment or os.environ)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield engine
    finally:
        await engine.close()
    assert resources() == before


def resources() -> tuple[set[int], int, int]:
    process = psutil.Process()
    children = {child.pid for child in process.children(recursive=True)}
    return children, process.num_fds(), len(asyncio.all_tasks())


async def ask(engine: SupervisedEngine, prefix: str, *, deadline_ms: int = 10_000) -> Completion:
    request = CompletionRequest(document="a.py", prefix=prefix, deadline_ms=deadline_ms)
    return await engine.complete(request)


async def check(
    prefix: str,
    *,
    text: str = "",
    reason: FinishReason,
    told: str = "",
    patience: Patience = QUICK,
) -> None:
    """Ask once; afterwards the engine, the same or the next one, answers as ever."""
    async with engine_on(patience=patience) as engine:
        await engine.wait_ready()
        completion = await ask(engine, prefix)
        assert (completion.finish_reason, completion.text) == (reason, text)
        assert told in engine.status().message
        await engine.wait_ready()
        assert (await ask(engine, "again")).text == "AGAIN"


async def test_a_request_is_answered() -> None:
    await check("x = ", text="X = ", reason=FinishReason.LINE)


async def test_the_host_hears_which_documents_were_left() -> None:
    async with engine_on() as engine:
        engine.leave("before there is a host")
        await engine.wait_ready()
        engine.leave("a")
        assert json.loads((await ask(engine, "what was left")).text) == ["a"]


async def remembered(engine: SupervisedEngine, num: int) -> dict[str, int | None]:
    """Return the lengths of the texts that the host knows, once it knows so many."""
    while True:
        await engine.wait_ready()
        found = (await ask(engine, "what is remembered")).text
        lengths: dict[str, int | None] = json.loads(found or "{}")
        if len(lengths) == num:
            return lengths
        await asyncio.sleep(0.02)


async def test_every_host_is_told_what_is_remembered() -> None:
    async with engine_on() as engine:
        engine.remember("a", "12")
        engine.remember("gone", "1")
        engine.remember("gone", None)
        engine.remember("too long", "x" * (MAX_REMEMBERED_CHARACTERS + 1))
        assert await remembered(engine, 1) == {"a": 2}
        engine.remember("b", "123")
        engine.remember("a", None)
        assert await remembered(engine, 2) == {"a": None, "b": 3}
        await ask(engine, "die")
        assert await remembered(engine, 1) == {"b": 3}


async def test_megabytes_to_remember_keep_no_request_waiting() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        for number in range(40):
            engine.remember(str(number), "x" * MAX_REMEMBERED_CHARACTERS)
        assert (await ask(engine, "x", deadline_ms=1_000)).text == "X"
        assert len(await remembered(engine, 40)) == 40


async def test_of_a_burst_the_newest_of_each_document_is_answered() -> None:
    """It is more than waits unsent; what is older may be answered with nothing."""
    async with engine_on() as engine:
        await engine.wait_ready()
        requests = [
            CompletionRequest(
                document=f"{number % 16}.py", prefix=f"{number} ", suffix="x" * 60_000
            )
            for number in range(800)
        ]
        completions = await asyncio.gather(*map(engine.complete, requests))
        assert [each.text for each in completions[-16:]] == [each.prefix for each in requests[-16:]]
        ended = {each.finish_reason for each in completions}
        assert ended == {FinishReason.LINE, FinishReason.SUPERSEDED}


async def test_a_failed_request_costs_its_own_answer_only() -> None:
    await check("fail", reason=FinishReason.FAILED)


async def test_a_second_answer_is_ignored() -> None:
    await check("answer twice", text="FIRST", reason=FinishReason.LINE)


async def test_an_answer_to_nobody_is_ignored() -> None:
    await check("answer a stranger", text="RIGHT", reason=FinishReason.LINE)


async def test_a_host_that_dies_is_replaced() -> None:
    await check("die", reason=FinishReason.UNAVAILABLE, told="exited with code 3")


async def test_a_host_that_is_killed_is_replaced() -> None:
    await check(
        "be killed",
        reason=FinishReason.UNAVAILABLE,
        told="killed by SIGKILL, as the system does when memory runs out",
    )


async def test_a_host_that_eats_all_memory_is_replaced() -> None:
    await check("eat memory", reason=FinishReason.UNAVAILABLE, told="MemoryError")


@pytest.mark.slow
async def test_a_host_that_freezes_is_replaced() -> None:
    await check("freeze", reason=FinishReason.UNAVAILABLE, told="silent for 1 s", patience=WATCHFUL)


async def test_a_host_that_prints_garbage_is_replaced() -> None:
    await check("print garbage", reason=FinishReason.UNAVAILABLE, told="answers could not be read")


async def test_a_host_that_dies_in_the_middle_of_a_frame_is_replaced() -> None:
    await check(
        "die in the middle of a frame", reason=FinishReason.UNAVAILABLE, told="exited with code 0"
    )


async def test_a_host_that_hangs_up_is_replaced() -> None:
    await check("close stdout", reason=FinishReason.UNAVAILABLE)


async def test_every_request_that_was_running_is_answered_when_the_host_dies() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        waiting = [asyncio.create_task(ask(engine, "wait")) for _ in range(20)]
        dying = asyncio.create_task(ask(engine, "die"))
        for completion in await asyncio.gather(*waiting, dying):
            assert completion == Completion.nothing(FinishReason.UNAVAILABLE)


async def test_slow_requests_are_answered_in_any_order() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        slow = asyncio.create_task(ask(engine, "wait"))
        await asyncio.sleep(0)  # let it be sent
        assert (await ask(engine, "quick")).text == "QUICK"
        assert (await ask(engine, "release")).text == "RELEASED"
        assert (await slow).text == "RELEASED"


async def test_a_restart_is_counted_and_explained() -> None:
    async with engine_on() as engine:
        first = await engine.wait_ready()
        await ask(engine, "die")
        told = engine.status()
        assert told.state is EngineState.RESTARTING
        assert told.message == (
            f"the engine exited with code 3: {fake_host.LAST_WORDS}; it is started again"
        )
        second = await engine.wait_ready()
        assert (first.num_restarts, second.num_restarts) == (0, 1)
        assert second.message == ""
        assert second.process_id != first.process_id


async def test_while_it_loads_the_answer_is_nothing_at_once() -> None:
    async with engine_on("--load", "never") as engine:
        for _ in range(3):
            completion = await ask(engine, "x")
            assert (completion.finish_reason, completion.text) == NOTHING
        assert engine.status().state is EngineState.LOADING


async def test_a_bad_model_is_told_and_not_tried_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    async with engine_on("--load", "failed", "--starts", str(starts)) as engine:
        status = await engine.wait_ready()
        assert status.state is EngineState.FAILED
        assert status.message == fake_host.BAD_MODEL
        completion = await ask(engine, "x")
        assert (completion.finish_reason, completion.text) == NOTHING
    assert starts.read_text("ascii").count("start") == 1


async def test_a_host_that_never_comes_up_is_given_up(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    patience = Patience(first_delay_s=0.01, max_restarts=2)
    async with engine_on("--load", "crash", "--starts", str(starts), patience=patience) as engine:
        status = await engine.wait_ready()
        assert status.state is EngineState.FAILED
        assert status.message == (
            f"the engine exited with code 1: {fake_host.LAST_WORDS}; it ended 3 times within "
            "180 s: free memory or choose another model"
        )
        assert status.num_restarts == 2
        assert status.process_id is None
    assert starts.read_text("ascii").count("start") == 3


async def test_after_too_many_deaths_the_next_request_behind_the_pause_starts_it(
    tmp_path: Path,
) -> None:
    starts = tmp_path / "starts"
    patience = Patience(first_delay_s=0.01, max_restarts=1, first_pause_s=0.05)
    arguments = ("--starts", str(starts), "--crashes", "4")
    async with engine_on(*arguments, patience=patience) as engine:
        text = ""
        while not text:
            await engine.wait_ready()
            text = (await ask(engine, "x")).text
        assert text == "X"
    assert starts.read_text("ascii").count("start") == 5


async def test_before_the_pause_is_over_a_request_starts_nothing(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    patience = Patience(max_restarts=0, first_pause_s=600.0)
    async with engine_on("--load", "crash", "--starts", str(starts), patience=patience) as engine:
        for _ in range(5):
            assert (await engine.wait_ready()).state is EngineState.FAILED
            assert (await ask(engine, "x")).finish_reason is FinishReason.UNAVAILABLE
    assert starts.read_text("ascii").count("start") == 1


@pytest.mark.parametrize("arguments", [("--load", "failed once"), ("--crashes", "1")], ids=" ".join)
async def test_a_change_starts_it_at_once(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Whether its model was bad or it died too often."""
    patience = Patience(max_restarts=0, first_pause_s=600.0)
    starts = ("--starts", str(tmp_path / "starts"))
    async with engine_on(*arguments, *starts, patience=patience) as engine:
        while engine.status().state is not EngineState.FAILED:
            await engine.wait_ready()
            await asyncio.sleep(0.01)
        engine.retry()
        await asyncio.sleep(0.01)  # let it be heard
        assert (await engine.wait_ready()).state is EngineState.READY
        assert (await ask(engine, "x")).text == "X"


async def test_another_choice_starts_another_host_at_once() -> None:
    """As `inkling model use` makes it, while the editor is open; it is no failure."""
    chosen = ["first"]
    patience = Patience(heartbeat_s=0.05, silent_beats=600, max_restarts=0)
    engine = SupervisedEngine(
        [sys.executable, fake_host.__file__], patience=patience, choice=lambda: chosen[0]
    )
    async with asyncio.timeout(TIMEOUT_S):
        first = await engine.wait_ready()
        chosen[0] = "second"
        while engine.status().num_restarts == 0:
            assert (await ask(engine, "x")).text in {"X", ""}
            await asyncio.sleep(0.01)
        second = await engine.wait_ready()
        assert (second.state, second.num_restarts) == (EngineState.READY, 1)
        assert first.process_id != second.process_id
        assert (await ask(engine, "x")).text == "X"
    await engine.close()


async def test_a_host_that_crashes_twice_and_then_works_is_kept(tmp_path: Path) -> None:
    starts = str(tmp_path / "starts")
    patience = Patience(first_delay_s=0.01, max_restarts=2)
    async with engine_on("--starts", starts, "--crashes", "2", patience=patience) as engine:
        text = ""
        while not text:  # ready or not, it may be about to crash
            status = await engine.wait_ready()
            assert status.state is EngineState.READY
            text = (await ask(engine, "x")).text
        assert (text, engine.status().num_restarts) == ("X", 2)


async def test_who_asks_for_ever_does_not_keep_the_host_from_being_replaced() -> None:
    async with engine_on() as engine:
        status = await engine.wait_ready()
        assert status.process_id is not None
        os.kill(status.process_id, signal.SIGKILL)
        while engine.status().num_restarts == 0:
            await ask(engine, "x")
        assert (await engine.wait_ready()).state is EngineState.READY


async def test_a_command_that_cannot_be_started_is_told() -> None:
    engine = SupervisedEngine(["no-such-program"], patience=Patience(max_restarts=0))
    status = await engine.wait_ready()
    assert status.state is EngineState.FAILED
    assert status.message.startswith("no-such-program cannot be started: No such file")
    await engine.close()


async def test_garbage_instead_of_a_status_is_told() -> None:
    patience = Patience(max_restarts=0)
    async with engine_on("--load", "garbage", patience=patience) as engine:
        status = await engine.wait_ready()
        assert "answers could not be read: a frame claims" in status.message


async def test_a_cancelled_request_is_forgotten_here_and_there() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        waiting = asyncio.create_task(ask(engine, "wait"))
        await asyncio.sleep(0)  # let it be sent
        assert (await ask(engine, "what was cancelled")).text == "[]"
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await ask(engine, "what was cancelled")).text == "[1]"
        assert (await ask(engine, "release")).text == "RELEASED"  # request 1 has nobody waiting


async def test_two_thousand_requests_each_cancelled_at_once() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        for _ in range(2_000):
            task = asyncio.create_task(ask(engine, "wait"))
            await asyncio.sleep(0)  # let it be sent
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        cancelled = json.loads((await ask(engine, "what was cancelled")).text)
        assert cancelled == list(range(1, 2_001))


async def test_a_request_out_of_bounds_is_refused_before_it_is_sent() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        with pytest.raises(InvalidRequestError, match="deadline_ms"):
            await ask(engine, "x", deadline_ms=0)
        with pytest.raises(InvalidRequestError, match="half a surrogate pair"):
            await ask(engine, "x\ud800")
        assert (await ask(engine, "x")).text == "X"


async def test_an_engine_that_never_answers_is_replaced_after_the_deadline() -> None:
    patience = Patience(heartbeat_s=0.05, silent_beats=600, overdue_s=0.1, first_delay_s=0.01)
    async with engine_on(patience=patience) as engine:
        await engine.wait_ready()
        completion = await ask(engine, "wait", deadline_ms=1)
        assert (completion.finish_reason, completion.text) == NOTHING
        assert "late with an answer" in engine.status().message
        await engine.wait_ready()
        assert (await ask(engine, "again")).text == "AGAIN"


async def test_close_answers_what_is_running() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        waiting = asyncio.create_task(ask(engine, "wait"))
        await asyncio.sleep(0)  # let it be sent
        await engine.close()
        assert await waiting == Completion.nothing(FinishReason.UNAVAILABLE)
        assert engine.status().state is EngineState.CLOSED


async def test_close_while_it_loads() -> None:
    async with engine_on("--load", "never") as engine:
        ready = asyncio.create_task(engine.wait_ready())
        await ask(engine, "x")
        await engine.close()
        assert (await ready).state is EngineState.CLOSED


async def test_close_before_anything() -> None:
    async with engine_on() as engine:
        await engine.close()
        assert (await engine.wait_ready()).state is EngineState.CLOSED
        assert await ask(engine, "x") == Completion.nothing(FinishReason.UNAVAILABLE)


async def test_close_while_the_process_is_being_started() -> None:
    for num_steps in range(8):
        async with engine_on() as engine:
            engine.start()
            for _ in range(num_steps):
                await asyncio.sleep(0)


async def test_close_while_it_waits_to_start_again() -> None:
    async with engine_on(patience=Patience(first_delay_s=600.0, longest_delay_s=600.0)) as engine:
        await engine.wait_ready()
        await ask(engine, "die")


async def test_close_of_a_frozen_host_kills_it() -> None:
    patience = Patience(heartbeat_s=600.0, shutdown_grace_s=0.05)
    async with engine_on(patience=patience) as engine:
        status = await engine.wait_ready()
        assert status.process_id is not None
        os.kill(status.process_id, signal.SIGSTOP)


async def test_close_twice_at_once() -> None:
    async with engine_on() as engine:
        await engine.wait_ready()
        await asyncio.gather(engine.close(), engine.close())


async def test_a_host_that_reads_nothing_is_sent_no_more_than_16_mib() -> None:
    patience = Patience(heartbeat_s=600.0, shutdown_grace_s=0.05)
    async with engine_on(patience=patience) as engine:
        status = await engine.wait_ready()
        assert status.process_id is not None
        os.kill(status.process_id, signal.SIGSTOP)
        tasks = [asyncio.create_task(ask(engine, "x" * 65_000)) for _ in range(300)]
        for _ in range(2):  # each is sent or refused; the refused are done
            await asyncio.sleep(0)
        refused = [task for task in tasks if task.done()]
        assert 30 < len(refused) < 60  # 300 x 65 kB are 19.5 MB
        assert {task.result().finish_reason for task in refused} == {FinishReason.SUPERSEDED}
        assert not tasks[-1].done(), "the newest waits until the host reads on"
        await engine.close()
        others = {task.result().finish_reason for task in tasks if task not in refused}
        assert others == {FinishReason.UNAVAILABLE}


async def test_the_host_gets_no_secrets() -> None:
    secrets = {"API_TOKEN": "1", "HTTPS_PROXY": "http://user:password@proxy", "LANG": "C"}
    secrets["XDG_DATA_HOME"] = "/where/models/lie"
    async with engine_on(environment={**os.environ, **secrets}) as engine:
        await engine.wait_ready()
        names = json.loads((await ask(engine, "which environment")).text)
        assert {"LANG", "XDG_DATA_HOME"} <= set(names)
        assert not {"API_TOKEN", "HTTPS_PROXY"} & set(names)


async def test_a_restart_that_is_asked_for_loads_the_model_anew() -> None:
    async with engine_on() as engine:
        before = (await engine.wait_ready()).process_id
        engine.restart()
        assert engine.status().state is EngineState.RESTARTING
        after = await engine.wait_ready()
        assert (after.state, after.num_restarts) == (EngineState.READY, 1)
        assert after.process_id not in (before, None)
        assert (await ask(engine, "again")).text == "AGAIN"


async def test_an_engine_that_is_stopped_is_gone_until_it_is_tried_again() -> None:
    others = _children()
    async with engine_on() as engine:
        await engine.wait_ready()
        engine.stop("not now")
        status = engine.status()
        assert (status.state, status.message, status.process_id) == (
            EngineState.FAILED,
            "not now",
            None,
        )
        assert (await ask(engine, "x")).finish_reason is FinishReason.UNAVAILABLE
        engine.stop("twice")
        assert engine.status().message == "not now"
        await until(lambda: _children() <= others)
        engine.restart()
        await until(lambda: engine.status().state is EngineState.READY)
        assert (await ask(engine, "again")).text == "AGAIN"


async def test_an_engine_that_is_stopped_while_it_loads_loads_no_more() -> None:
    others = _children()
    async with engine_on("--load", "never") as engine:
        engine.start()
        await until(lambda: engine.status().process_id is not None)
        engine.stop("not now")
        assert (await engine.wait_ready()).message == "not now"
        await until(lambda: _children() <= others)


def _children() -> set[int]:
    """Return the processes below this one; other tests may have left one that waits for its end."""
    return {child.pid for child in psutil.Process().children(recursive=True)}
