"""Wait for what is no event of ours."""

import asyncio
from collections.abc import Callable

TIMEOUT_S = 10.0


async def until(condition: Callable[[], object]) -> None:
    """Return once a condition holds; raises TimeoutError where it does not in time."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - what changes it tells nobody
            await asyncio.sleep(0.005)
