"""When a model's memory is given up."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from inference.serving.resting import Resting
from tests.support.until import until

TICK_S = 0.02


def playing(states: Sequence[bool]) -> Callable[[], bool]:
    """Return what tells these states one after another, then the last one for ever."""
    left = list(states)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


async def check(*, states: Sequence[bool], after_ticks: int, rests: bool) -> None:
    """Say whether somebody who was there once is thought to have gone within five looks."""
    found = asyncio.Event()
    resting = Resting(
        found.set, after_ticks * TICK_S, on_battery=playing(states), power_after_s=TICK_S
    )
    resting.used()
    try:
        await asyncio.wait_for(found.wait(), 5 * TICK_S if not rests else 10)
    except TimeoutError:
        assert not rests
    else:
        assert rests
    finally:
        resting.close()


@pytest.mark.parametrize(
    ("states", "after_ticks", "rests"),
    [
        ([False], 3, True),
        ([False], 1000, False),
        ([False, True], 1000, True),
        ([True, True, False], 1000, True),
        ([True], 1000, False),
    ],
    ids=["gone", "still there", "put on battery", "taken off it", "on battery all the time"],
)
async def test_when_it_rests(states: Sequence[bool], after_ticks: int, rests: bool) -> None:
    await check(states=states, after_ticks=after_ticks, rests=rests)


async def test_whoever_asks_puts_it_off() -> None:
    rested = list[float]()
    loop = asyncio.get_running_loop()
    resting = Resting(lambda: rested.append(loop.time()), 10 * TICK_S, on_battery=lambda: False)
    for _ in range(15):
        resting.used()
        last = loop.time()
        await asyncio.sleep(TICK_S)
    await until(lambda: rested)
    assert rested[0] - last >= 10 * TICK_S - 0.001
