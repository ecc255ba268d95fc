"""Look into completions, in a process of its own that starts with the first look.

It loads the model a second time and shares nothing with the engine: what is looked at cannot slow
down or break what completes, but for the cores that both compute on.
"""

import asyncio
import os
import signal
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from inference.completion import CompletionRequest, checked
from inference.dissection import Dissection
from inference.errors import EngineUnavailableError
from inference.package.store import find_model

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from inference.decoding.dissecting import Subject


class Dissector:
    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def dissect(self, model: str, request: CompletionRequest, text: str) -> Dissection:
        """Look into `text` as what a model wrote for a request; one look after another.

        Raises InklingError: no such model, one that cannot be loaded, nothing to look into, or a
        process that died, which the next look starts again.
        """
        from concurrent.futures.process import BrokenProcessPool

        pool = self._pool = self._pool or _started()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(pool, _look, model, checked(request), text)
        except BrokenProcessPool as error:
            self.close()
            raise EngineUnavailableError("looking into it ended its process; try again") from error

    def close(self) -> None:
        """End the process once it has done what it is doing. Another look starts another one."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _started() -> "ProcessPoolExecutor":
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Not forked: a copy of our threads' locks would be of no use to it.
    return ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    )


def _begin(parent: int) -> None:
    if sys.platform == "linux":
        from inference.serving.host import die_with  # whoever only serves need not pay for it

        die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us


def _look(model: str, request: CompletionRequest, text: str) -> Dissection:
    return _subject(model).dissect(request, text)


@lru_cache(1)
def _subject(model: str) -> "Subject":
    from inference.decoding.dissecting import Subject  # onnxruntime, late

    return Subject(find_model(model).folder)
