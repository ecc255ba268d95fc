import asyncio
import sys

import pytest

from lsp_server import lifecycle as lifecycle_module
from lsp_server.lifecycle import Lifecycle, Phase, watch_process

PATIENCE_SECONDS = 30.0


async def check(*steps: str, phase: Phase, exit_code: int) -> None:
    lifecycle = Lifecycle()
    for step in steps:
        getattr(lifecycle, step)()
    assert lifecycle.phase is phase
    assert lifecycle.exit_code == exit_code


async def test_it_begins_uninitialized() -> None:
    await check(phase=Phase.UNINITIALIZED, exit_code=1)


async def test_leaving_while_running_is_a_failure() -> None:
    await check("start", "end", phase=Phase.RUNNING, exit_code=1)


async def test_leaving_after_shutdown_is_a_success() -> None:
    await check("start", "shut_down", "end", phase=Phase.SHUT_DOWN, exit_code=0)


async def test_a_broken_stream_is_a_failure_even_after_shutdown() -> None:
    await check("start", "shut_down", "fail", phase=Phase.SHUT_DOWN, exit_code=1)


async def test_whoever_waits_for_the_end_is_told() -> None:
    lifecycle = Lifecycle()
    waiting = asyncio.ensure_future(lifecycle.wait_ended())
    lifecycle.end()
    await asyncio.wait_for(waiting, PATIENCE_SECONDS)


@pytest.mark.parametrize("announces", [True, False], ids=["announced", "polled"])
async def test_the_end_of_a_process_is_noticed(
    announces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle_module, "POLL_SECONDS", 0.01)
    if not announces:
        monkeypatch.setattr(lifecycle_module, "_open_process", lambda _: None)
    gone = asyncio.Event()
    process = await _python("input()")
    watch_process(process.pid, gone.set)
    await asyncio.sleep(0)
    assert not gone.is_set()
    process.kill()
    await process.communicate()
    await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)


async def test_a_process_that_is_not_here_is_not_watched() -> None:
    process = await _python("")
    await process.communicate()
    gone = asyncio.Event()
    watch_process(process.pid, gone.set)
    await asyncio.sleep(0)
    assert not gone.is_set()


@pytest.mark.parametrize("process_id", [0, -1, 2**31, 2**63, 10**30])
async def test_a_number_of_no_process_is_not_watched(process_id: int) -> None:
    assert watch_process(process_id, list) is None


@pytest.mark.parametrize("announces", [True, False], ids=["announced", "polled"])
async def test_a_client_that_is_known_is_followed_instead_of_the_parent(
    announces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle_module, "POLL_SECONDS", 0.01)
    if not announces:
        monkeypatch.setattr(lifecycle_module, "_open_process", lambda _: None)
    lifecycle, parent, client = Lifecycle(), await _python("input()"), await _python("input()")
    lifecycle.follow(parent.pid)
    lifecycle.follow(client.pid)
    lifecycle.follow(2**31)
    parent.kill()
    await parent.communicate()
    await asyncio.sleep(0.05)
    assert not lifecycle._ended.is_set()
    client.kill()
    await client.communicate()
    await asyncio.wait_for(lifecycle.wait_ended(), PATIENCE_SECONDS)


async def _python(program: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE
    )
