"""Run jobs one after another in one thread of our own; of each document only the latest.

It knows documents by name and jobs as functions. It knows nothing of models or text.

    submit ──► waiting ──► running ──► done         result or exception in the job's future
                  │           │
                  │           └ cancel: the token is set; the job notices, raises, is done
                  └ cancel: done at once, it never runs

A newer job for a document cancels the older one, waiting or running. Jobs of different documents
take their turns in order. Every future is resolved exactly once, also when the scheduler closes.

    submit_idle ──► runs when nothing waits, the latest first ──► done
                       │ ▲
                       └─┘ broken off by whatever is submitted; what resumes is queued again

An idle job takes the place of the one with its name that waits. What is awaited all the same goes
before the others, in its order. Whoever asks never waits for idle work longer than it takes to
stop. `demote` makes idle work of a job, `promote` the opposite.

Invariant 9: whatever a job touches is touched by this thread only.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from inference.cancellation import CancelToken
from inference.errors import EngineUnavailableError, RequestCancelledError
from inference.timing import now_ms

T = TypeVar("T")


class Job(Generic[T]):
    """One function to run, the future of its result and the token that stops it."""

    def __init__(
        self,
        document: str,
        work: Callable[[CancelToken], T],
        *,
        idle_name: str | None = None,
        resumes: bool = False,
        is_awaited: bool = False,
    ) -> None:
        self.document = document
        self.work = work
        self.idle_name = idle_name
        self.resumes = resumes
        self.is_idle = idle_name is not None
        self.is_awaited = is_awaited
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

    def again(self) -> "Job[T]":
        return Job(self.document, self.work, idle_name=self.idle_name, resumes=self.resumes)


class Scheduler(Generic[T]):
    """`prepare` runs first in the thread; jobs that are submitted meanwhile wait for it."""

    def __init__(self, name: str, *, prepare: Callable[[], None]) -> None:
        self._prepare = prepare
        self._condition = threading.Condition()
        self._waiting: deque[Job[T]] = deque()
        self._idle: dict[str, Job[T]] = {}  # by name, the latest last
        self._running: Job[T] | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, document: str, work: Callable[[CancelToken], T]) -> Job[T]:
        """Queue `work`, cancelling what waits or runs for the same document, and idle work.

        A cancelled job's future raises RequestCancelledError. Raises EngineUnavailableError when
        closed.
        """
        job = Job(document, work)
        with self._condition:
            self._check_open()
            superseded = [other for other in self._waiting if other.document == document]
            for other in superseded:
                self._waiting.remove(other)
            running = self._running
            if running is not None and running.document == document and not running.is_idle:
                running.token.set()
            self._waiting.append(job)
            self._break_off_idle_work()
            self._condition.notify()
        for other in superseded:
            _resolve_cancelled(other)
        return job

    def submit_idle(
        self,
        name: str,
        document: str,
        work: Callable[[CancelToken], T],
        *,
        resumes: bool,
        is_awaited: bool = False,
    ) -> Job[T]:
        """Run `work` once nothing waits, in the place of what is called the same.

        What `is_awaited` goes before other idle work. Raises EngineUnavailableError when closed.
        """
        job = Job(document, work, idle_name=name, resumes=resumes, is_awaited=is_awaited)
        with self._condition:
            self._check_open()
            if is_awaited and not (self._running and self._running.is_awaited):
                self._break_off_idle_work()
            replaced = self._idle.pop(name, None)
            self._idle[name] = job
            running = self._running
            if running is not None and running.idle_name == name:
                running.resumes = False
                running.token.set()
            self._condition.notify()
        if replaced is not None:
            _resolve_cancelled(replaced)
        return job

    def demote(self, job: Job[T]) -> None:
        """Let a job go on until anything else is submitted."""
        with self._condition:
            job.is_idle = True
            if self._waiting:
                self._break_off_idle_work()

    def promote(self, job: Job[T]) -> None:
        """Let a job that runs go on as if it had been submitted."""
        with self._condition:
            job.is_idle = False

    def cancel(self, job: Job[T]) -> None:
        """Stop a job, waiting or running; nothing happens to one that is done."""
        with self._condition:
            job.resumes = False
            job.token.set()
            if job in self._waiting:
                self._waiting.remove(job)
            elif self._idle.get(job.idle_name or "") is job:
                del self._idle[job.idle_name or ""]
            else:
                return
        _resolve_cancelled(job)

    def leave(self, document: str) -> None:
        """Stop what is done for a document that nobody waits for."""
        with self._condition:
            left = [job for job in self._idle.values() if _is_for_nobody(job, document)]
            for job in left:
                del self._idle[job.idle_name or ""]
            running = self._running
            if running is not None and _is_for_nobody(running, document):
                running.resumes = False
                running.token.set()
        for job in left:
            _resolve_cancelled(job)

    def stalled_ms(self) -> float:
        """Return how long the running job has not begun a step; 0 where none runs."""
        running = self._running
        return 0.0 if running is None else max(0.0, now_ms() - running.token.asked_ms)

    def close(self) -> None:
        """Cancel everything, and return once the thread has ended."""
        with self._condition:
            self._is_closed = True
            waiting = [*self._waiting, *self._idle.values()]
            self._waiting.clear()
            self._idle.clear()
            if self._running is not None:
                self._running.resumes = False
                self._running.token.set()
            self._condition.notify()
        for job in waiting:
            _resolve_cancelled(job)
        self._thread.join()

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineUnavailableError("the engine is closed")

    def _break_off_idle_work(self) -> None:
        running = self._running
        if running is None or not running.is_idle or running.token.is_set:
            return
        running.token.set()
        if running.resumes and running.idle_name is not None:
            self._idle.setdefault(running.idle_name, running.again())

    def _work(self) -> None:
        self._prepare()
        while (job := self._next()) is not None:
            job.run()
            with self._condition:
                self._running = None

    def _next(self) -> Job[T] | None:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._idle or self._is_closed)
            if self._is_closed:
                return None
            self._running = self._waiting.popleft() if self._waiting else self._latest_idle()
            self._running.token.asked_ms = now_ms()  # it was not stalled while it waited
            return self._running

    def _latest_idle(self) -> Job[T]:
        awaited = (name for name, job in self._idle.items() if job.is_awaited)
        return self._idle.pop(next(awaited, None) or next(reversed(self._idle)))


def _is_for_nobody(job: Job[Any], document: str) -> bool:
    return job.is_idle and not job.is_awaited and job.document == document


def _resolve_cancelled(job: Job[T]) -> None:
    job.token.set()
    job.future.set_exception(RequestCancelledError("a newer request took its place"))
