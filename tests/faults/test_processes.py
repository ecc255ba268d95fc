"""F6, F8 and F16: processes are killed, stopped and left behind; every request is answered once."""

import asyncio
import os
import random
import select
import signal
import subprocess
import sys

import pytest
from msgspec.structs import replace

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.engine import EngineState
from inference.serving.patience import Patience
from inference.serving.supervised import SupervisedEngine
from tests.support import fake_host_scripted

TIMEOUT_S = 240.0
NUM_KILLS = 20
SEED = 1


def engine_with(patience: Patience) -> SupervisedEngine:
    return SupervisedEngine(
        fake_host_scripted.COMMAND,
        patience=patience,
        environment=fake_host_scripted.ENVIRONMENT,
    )


async def ask(engine: SupervisedEngine, number: int) -> Completion:
    request = CompletionRequest(document=f"{number % 3}.py", prefix="x = " * (number % 100))
    async with asyncio.timeout(TIMEOUT_S):
        return await engine.complete(request)


async def type_for_ever(engine: SupervisedEngine) -> None:
    """Ask and cancel as fast as answers come; every answer is one of the right kind."""
    number = 0
    while True:
        number += 1
        abandoned = asyncio.ensure_future(ask(engine, number))
        await asyncio.sleep(0)
        abandoned.cancel()
        completion = await ask(engine, number)
        reasons = {FinishReason.UNAVAILABLE, FinishReason.SUPERSEDED, FinishReason.EMPTY}
        assert completion.text == fake_host_scripted.TEXT or completion.finish_reason in reasons
        if not completion.text:
            await engine.wait_ready()


@pytest.mark.slow
async def test_the_host_is_killed_again_and_again_while_somebody_types() -> None:
    chance = random.Random(SEED)
    engine = engine_with(Patience(first_delay_s=0.01, longest_delay_s=0.01, max_restarts=1000))
    async with asyncio.timeout(TIMEOUT_S):
        await engine.wait_ready()
        typing = asyncio.create_task(type_for_ever(engine))
        for num_kills in range(NUM_KILLS):
            process_id = engine.status().process_id
            assert process_id is not None
            os.kill(process_id, signal.SIGKILL)
            while engine.status().num_restarts == num_kills:
                await ask(engine, 0)
            assert (await engine.wait_ready()).state is EngineState.READY
            for number in range(chance.randrange(20)):  # the next kill comes at another moment
                await ask(engine, number)
        assert not typing.done()
        typing.cancel()
        assert (await ask(engine, 1)).text == fake_host_scripted.TEXT
    await engine.close()


@pytest.mark.slow
async def test_a_stopped_host_is_replaced() -> None:
    """As by a debugger, or a machine that swaps."""
    engine = engine_with(Patience(heartbeat_s=0.1, silent_beats=10, first_delay_s=0.01))
    before = await engine.wait_ready()
    assert before.process_id is not None
    os.kill(before.process_id, signal.SIGSTOP)
    waiting = [ask(engine, number) for number in range(3)]
    assert {one.finish_reason for one in await asyncio.gather(*waiting)} == {
        FinishReason.UNAVAILABLE
    }
    assert "silent" in engine.status().message
    after = await engine.wait_ready()
    assert after.process_id != before.process_id
    assert (await ask(engine, 1)).text == fake_host_scripted.TEXT
    await engine.close()


@pytest.mark.slow
async def test_an_engine_that_is_stuck_is_replaced_while_somebody_types_on() -> None:
    """Typing cancels the request that is stuck, and each later one while it waits."""
    engine = engine_with(Patience(heartbeat_s=0.05, stalled_s=0.5, first_delay_s=0.01))
    async with asyncio.timeout(TIMEOUT_S):
        await engine.wait_ready()
        number = 0
        while engine.status().num_restarts == 0:
            prefix = fake_host_scripted.STUCK if number == 0 else "x"
            request = CompletionRequest(document="a.py", prefix=prefix, deadline_ms=1_000)
            typed = asyncio.ensure_future(engine.complete(request))
            await asyncio.sleep(0.02)
            typed.cancel()
            number += 1
        assert "for one step" in engine.status().message
        assert (await engine.wait_ready()).state is EngineState.READY
        assert (await ask(engine, 1)).text == fake_host_scripted.TEXT
    await engine.close()


async def test_a_long_step_of_a_large_model_is_waited_for() -> None:
    """The same engine, whose package is said to have a gigabyte."""
    limits = Patience(heartbeat_s=0.05, stalled_s=0.1, overdue_s=0.1, beats_per_gigabyte=1e6)
    engine = engine_with(limits)
    async with asyncio.timeout(TIMEOUT_S):
        await engine.wait_ready()
        engine._status = replace(engine._status, model_bytes=1_000_000_000)
        # So long that it begins before that, also on a busy machine.
        stuck = CompletionRequest(document="a.py", prefix=fake_host_scripted.STUCK, deadline_ms=300)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.complete(stuck), 0.8)  # sixteen beats, eight limits
        assert engine.status().num_restarts == 0
    await engine.close()


async def test_two_thousand_requests_that_are_cancelled_at_once() -> None:
    engine = engine_with(Patience())
    await engine.wait_ready()
    for number in range(2_000):
        request = asyncio.ensure_future(ask(engine, number))
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert (await ask(engine, 1)).text == fake_host_scripted.TEXT
    assert engine.status().num_restarts == 0
    await engine.close()


PARENT = """
import asyncio
from inference.serving.supervised import SupervisedEngine
from tests.support import fake_host_scripted as host

async def main():
    engine = SupervisedEngine(host.COMMAND, environment=host.ENVIRONMENT)
    print((await engine.wait_ready()).process_id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open exists on Linux only")
def test_no_host_is_left_when_its_parent_is_killed(signal_number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=fake_host_scripted.ENVIRONMENT,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout
        host = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal_number)
        ended, _, _ = select.select([host], [], [], TIMEOUT_S)
        assert ended == [host]
        parent.wait(TIMEOUT_S)
    os.close(host)
