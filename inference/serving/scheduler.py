"""Run jobs one after another in one thread of our own; of each document only the latest.

It knows documents by name and jobs as functions. It knows nothing of models or text.

    submit ──► waiting ──► running ──► done         result or exception in the job's future
                  │           │
                  │           └ cancel: the token is set; the job notices, raises, is done
                  └ cancel: done at once, it never runs

A newer job for a document cancels the older one, waiting or running. Jobs of different documents
take their turns in order. Every future is resolved exactly once, also when the scheduler closes.

Invariant 9: whatever a job touches is touched by this thread only.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from inference.cancellation import CancelToken
from inference.errors import EngineUnavailableError, RequestCancelledError
from inference.timing import now_ms

T = TypeVar("T")


class Job(Generic[T]):
    """One function to run, the future of its result and the token that stops it."""

    def __init__(self, document: str, work: Callable[[CancelToken], T]) -> None:
        self.document = document
        self.work = work
        self.token = CancelToken()
        self.future: Future[T] = Future()
        # From here on Future.cancel() does nothing, so that the future is resolved by us alone.
        self.future.set_running_or_notify_cancel()

    def run(self) -> None:
        try:
            self.token.raise_if_set()
            result = self.work(self.token)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Scheduler(Generic[T]):
    """`prepare` runs first in the thread; jobs that are submitted meanwhile wait for it."""

    def __init__(self, name: str, *, prepare: Callable[[], None]) -> None:
        self._prepare = prepare
        self._condition = threading.Condition()
        self._waiting: deque[Job[T]] = deque()
        self._running: Job[T] | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, document: str, work: Callable[[CancelToken], T]) -> Job[T]:
        """Queue `work`, cancelling what waits or runs for the same document.

        A cancelled job's future raises RequestCancelledError. Raises EngineUnavailableError when
        closed.
        """
        job = Job(document, work)
        with self._condition:
            if self._is_closed:
                raise EngineUnavailableError("the engine is closed")
            superseded = [other for other in self._waiting if other.document == document]
            for other in superseded:
                self._waiting.remove(other)
            if self._running is not None and self._running.document == document:
                self._running.token.set()
            self._waiting.append(job)
            self._condition.notify()
        for other in superseded:
            _resolve_cancelled(other)
        return job

    def cancel(self, job: Job[T]) -> None:
        """Stop a job, waiting or running; nothing happens to one that is done."""
        job.token.set()
        with self._condition:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
        _resolve_cancelled(job)

    def stalled_ms(self) -> float:
        """Return how long the running job has not begun a step; 0 where none runs."""
        running = self._running
        return 0.0 if running is None else max(0.0, now_ms() - running.token.asked_ms)

    def close(self) -> None:
        """Cancel everything, and return once the thread has ended."""
        with self._condition:
            self._is_closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            if self._running is not None:
                self._running.token.set()
            self._condition.notify()
        for job in waiting:
            _resolve_cancelled(job)
        self._thread.join()

    def _work(self) -> None:
        self._prepare()
        while (job := self._next()) is not None:
            job.run()
            with self._condition:
                self._running = None

    def _next(self) -> Job[T] | None:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return None
            self._running = self._waiting.popleft()
            self._running.token.asked_ms = now_ms()  # it was not stalled while it waited
            return self._running


def _resolve_cancelled(job: Job[T]) -> None:
    job.token.set()
    job.future.set_exception(RequestCancelledError("a newer request took its place"))
