"""FallbackEngine: who answers, how soon, and what is said of it (fault F20).

The endpoint is a fake, the local engine a script. Moments are those of this loop; limits are wide,
since what they tell apart are 100 ms and the seconds that a fault takes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from msgspec.structs import replace

from inference.chat import Message
from inference.completion import Completion, FinishReason, InstructionRequest
from inference.engine import EngineState, EngineStatus
from inference.serving.remote.engine import RemoteEngine
from inference.serving.remote.fallback import PATIENCE_MS, FallbackEngine
from tests.inference.serving.remote.conftest import Opening
from tests.inference.serving.remote.test_remote_engine import REQUEST
from tests.support.fake_endpoint import FakeEndpoint, Fault
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.until import until

LOCAL = "local = 1"
SOON_S = 1.0
"""Less than any fault takes by itself, and much more than 100 ms and this machine's hiccups."""

SMALL = EngineStatus(state=EngineState.READY, model="small")


class Both:
    """An engine, and both that it is made of."""

    def __init__(self, remote: RemoteEngine, local: ScriptedEngine) -> None:
        self.remote, self.local = remote, local
        self.engine = FallbackEngine(remote, local)


@pytest.fixture
async def both(endpoint: FakeEndpoint, connect: Opening) -> AsyncGenerator[Both]:
    both = Both(await connect(endpoint), ScriptedEngine(Script(text=LOCAL), SMALL))
    yield both
    await both.engine.close()
    assert both.local.log.num_closed == 1
    assert both.local.log.num_running == 0


async def check(both: Both, *, gives: str, within_s: float = SOON_S) -> Completion:
    start = time.perf_counter()
    completion = await both.engine.complete(REQUEST)
    assert completion.text == gives
    assert time.perf_counter() - start < within_s
    return completion


async def test_an_endpoint_that_answers_answers_alone(both: Both) -> None:
    for _ in range(3):
        await check(both, gives="name")
    assert both.local.log.requests == []
    status = both.engine.status()
    assert (status.state, status.model, status.message) == (EngineState.READY, "a-model", "")


FAULTS: list[Fault] = [
    "slow", "hang", "stall", "busy", "broken", "unauthorized", "redirect", "half-close",
    "garbage", "endless", "error",
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_is_wrong_the_local_engine_answers_soon(
    fault: Fault, both: Both, endpoint: FakeEndpoint
) -> None:
    endpoint.fault, endpoint.slow_s = fault, 2.0
    for _ in range(4):
        await check(both, gives=LOCAL)
    status = both.engine.status()
    assert status.state is EngineState.READY
    assert status.model == "small"
    assert status.message.startswith(f"{endpoint.url}: it ") or "broke off" in status.message
    assert status.message.endswith("; small completes meanwhile")
    num_asked = len(endpoint.asked)
    start = time.perf_counter()
    for _ in range(20):  # nobody waits for it any more, and it is left alone
        await check(both, gives=LOCAL)
    assert time.perf_counter() - start < 20 * PATIENCE_MS / 1000
    assert len(endpoint.asked) == num_asked


async def test_an_endpoint_that_goes_away_is_not_waited_for(
    both: Both, endpoint: FakeEndpoint
) -> None:
    await check(both, gives="name")
    await endpoint.stop()
    await check(both, gives=LOCAL)
    assert "nothing listens there" in both.engine.status().message
    await endpoint.start()  # so that the fixture can stop it


async def test_it_is_tried_again_behind_a_pause_while_the_local_engine_answers(
    both: Both, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.fault = "busy"
    await check(both, gives=LOCAL)
    endpoint.fault = ""
    loop = asyncio.get_running_loop()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + 5.0)
    num_asked = len(endpoint.asked)
    await check(both, gives=LOCAL)  # the one that has it tried
    await until(lambda: both.engine.status().message == "")
    assert [one.route for one in endpoint.asked[num_asked:]] == ["/v1/models"]
    await check(both, gives="name")


@pytest.mark.slow
async def test_an_endpoint_that_takes_its_time_is_learned(
    both: Both, endpoint: FakeEndpoint
) -> None:
    """250 ms are too long for one that took one, and not for one that always takes as long."""
    endpoint.fault, endpoint.slow_s, endpoint.pieces = "slow", 0.25, ["name"]
    answers = list[str]()
    for number in range(8):
        request = replace(REQUEST, document=str(number))
        answers.append((await both.engine.complete(request)).text)
        await asyncio.sleep(0.3)
    assert answers[0] == LOCAL
    assert answers[-2:] == ["name", "name"]


@pytest.mark.parametrize(
    ("usual_ms", "waited_ms"), [(1, 100), (90, 180), (200, 300), (299, 300), (10_000, 100)]
)
async def test_no_longer_is_waited_than_a_first_text_was_promised_in(
    usual_ms: float, waited_ms: float, both: Both, endpoint: FakeEndpoint
) -> None:
    """And not at all for one that would not be there by then."""
    both.remote.first_piece_ms = usual_ms
    endpoint.fault, endpoint.slow_s = "slow", 3.0
    start = time.perf_counter()
    completion = await both.engine.complete(replace(REQUEST, first_text_ms=300))
    assert completion.text == LOCAL
    assert waited_ms <= 1000 * (time.perf_counter() - start) + 1 < waited_ms + 1000


async def test_a_local_engine_with_nothing_to_say_waits_for_the_endpoint(
    both: Both, endpoint: FakeEndpoint
) -> None:
    both.local.play(Script(text="", finish_reason=FinishReason.EMPTY))
    endpoint.fault, endpoint.slow_s = "slow", 0.3
    await check(both, gives="name", within_s=5)


async def test_cancelling_cancels_both(both: Both, endpoint: FakeEndpoint) -> None:
    both.local.play(Script(is_held=True))
    endpoint.fault = "hang"
    request = asyncio.ensure_future(both.engine.complete(REQUEST))
    await until(lambda: both.local.log.num_running == 1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await until(lambda: both.local.log.num_cancelled == 1)
    await until(lambda: endpoint.num_left == endpoint.num_connections)


async def test_a_newer_request_ends_an_older_one(both: Both, endpoint: FakeEndpoint) -> None:
    endpoint.fault, endpoint.slow_s = "slow", 0.04
    older = asyncio.ensure_future(both.engine.complete(REQUEST))
    await until(lambda: bool(endpoint.completions))
    newer = asyncio.ensure_future(both.engine.complete(REQUEST))
    assert (await older).finish_reason is FinishReason.SUPERSEDED
    assert (await newer).text == "name"


async def test_an_instruction_is_for_the_local_engine(both: Both, endpoint: FakeEndpoint) -> None:
    instruction = InstructionRequest(document="a", messages=(Message("user", "explain"),))
    assert (await both.engine.complete(instruction)).text == LOCAL
    assert endpoint.completions == []


async def test_both_hear_what_is_to_be_remembered_and_the_local_one_reads_ahead(
    both: Both, endpoint: FakeEndpoint
) -> None:
    both.engine.remember("b", "text")
    both.engine.warm(REQUEST)
    both.engine.retry()
    both.engine.restart()
    log = both.local.log
    both.engine.leave("a")
    assert (log.remembered, log.warmed, log.left) == ({"b": "text"}, [REQUEST], ["a"])
    assert (log.num_retried, log.num_restarted) == (1, 1)
    assert (await both.engine.wait_ready()).state is EngineState.READY
    both.engine.stop("enough")
    assert both.engine.status().state is EngineState.FAILED
    assert both.engine.status().message == "enough; enough"
