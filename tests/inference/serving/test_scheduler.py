"""Every job's future is resolved once; of a document only the latest job runs to its end."""

import threading
from collections.abc import Iterator

import pytest

from inference.cancellation import CancelToken
from inference.errors import EngineUnavailableError, RequestCancelledError
from inference.serving.scheduler import Job, Scheduler

TIMEOUT = 10.0


@pytest.fixture
def scheduler() -> Iterator[Scheduler[str]]:
    scheduler: Scheduler[str] = Scheduler("test", prepare=lambda: None)
    yield scheduler
    scheduler.close()


class Gate:
    """A job that says when it runs, and runs until it is opened or cancelled."""

    def __init__(self) -> None:
        self.is_running = threading.Event()
        self.is_open = threading.Event()

    def work(self, cancel: CancelToken) -> str:
        self.is_running.set()
        with cancel.calling(self.is_open.set):
            assert self.is_open.wait(TIMEOUT)
        cancel.raise_if_set()
        return "gate"


def check(job: Job[str], *, gives: str | type[BaseException]) -> None:
    if isinstance(gives, str):
        assert job.future.result(TIMEOUT) == gives
    else:
        with pytest.raises(gives):
            job.future.result(TIMEOUT)


def test_jobs_run_in_order(scheduler: Scheduler[str]) -> None:
    order: list[str] = []

    def noting(name: str):
        return lambda _: order.append(name) or name

    jobs = [scheduler.submit(name, noting(name)) for name in "abc"]
    for job, name in zip(jobs, "abc", strict=True):
        check(job, gives=name)
    assert order == ["a", "b", "c"]


def test_a_newer_job_takes_the_place_of_a_waiting_one(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    running = scheduler.submit("other", gate.work)
    older, newer = (scheduler.submit("a", lambda _, text=text: text) for text in ("old", "new"))
    check(older, gives=RequestCancelledError)
    gate.is_open.set()
    check(running, gives="gate")
    check(newer, gives="new")


def test_a_newer_job_stops_a_running_one(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    older = scheduler.submit("a", gate.work)
    assert gate.is_running.wait(TIMEOUT)
    newer = scheduler.submit("a", lambda _: "new")
    check(older, gives=RequestCancelledError)
    check(newer, gives="new")


def test_a_job_of_another_document_is_left_alone(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    first = scheduler.submit("a", gate.work)
    second = scheduler.submit("b", lambda _: "b")
    gate.is_open.set()
    check(first, gives="gate")
    check(second, gives="b")


def test_a_cancelled_waiting_job_never_runs(scheduler: Scheduler[str]) -> None:
    gate, ran = Gate(), threading.Event()
    scheduler.submit("a", gate.work)
    waiting = scheduler.submit("b", lambda _: str(ran.set()))
    scheduler.cancel(waiting)
    check(waiting, gives=RequestCancelledError)
    gate.is_open.set()
    check(scheduler.submit("c", lambda _: "c"), gives="c")
    assert not ran.is_set()


def test_cancelling_a_finished_job_does_nothing(scheduler: Scheduler[str]) -> None:
    job = scheduler.submit("a", lambda _: "a")
    check(job, gives="a")
    scheduler.cancel(job)
    check(job, gives="a")


def test_a_failing_job_costs_itself_only(scheduler: Scheduler[str]) -> None:
    def fail(_: CancelToken) -> str:
        raise ZeroDivisionError

    check(scheduler.submit("a", fail), gives=ZeroDivisionError)
    check(scheduler.submit("a", lambda _: "on"), gives="on")


def test_a_library_that_panics_costs_its_job_only(scheduler: Scheduler[str]) -> None:
    class Panic(BaseException):
        pass

    def panic(_: CancelToken) -> str:
        raise Panic

    check(scheduler.submit("a", panic), gives=Panic)
    check(scheduler.submit("a", lambda _: "on"), gives="on")


def test_closing_resolves_what_runs_and_what_waits() -> None:
    scheduler: Scheduler[str] = Scheduler("test", prepare=lambda: None)
    gate = Gate()
    running, waiting = scheduler.submit("a", gate.work), scheduler.submit("b", lambda _: "b")
    assert gate.is_running.wait(TIMEOUT)
    scheduler.close()
    check(running, gives=RequestCancelledError)
    check(waiting, gives=RequestCancelledError)
    with pytest.raises(EngineUnavailableError):
        scheduler.submit("c", lambda _: "c")


def test_a_job_that_begins_no_step_is_stalled(scheduler: Scheduler[str]) -> None:
    stepped, gate = threading.Event(), Gate()

    def work(cancel: CancelToken) -> str:
        cancel.raise_if_set()
        stepped.set()
        return gate.work(cancel)

    assert scheduler.stalled_ms() == 0
    job = scheduler.submit("a", work)
    assert stepped.wait(TIMEOUT)
    while scheduler.stalled_ms() < 20:
        pass
    job.token.asked_ms += 1e9  # as a step does that begins now
    assert scheduler.stalled_ms() == 0
    gate.is_open.set()
    check(job, gives="gate")
    check(scheduler.submit("a", lambda _: "next"), gives="next")
    while scheduler.stalled_ms() > 0:  # until the thread has put the job away
        pass


def test_jobs_wait_for_the_preparation() -> None:
    opened, order = threading.Event(), list[str]()

    def prepare() -> None:
        assert opened.wait(TIMEOUT)
        order.append("prepared")

    scheduler: Scheduler[str] = Scheduler("test", prepare=prepare)
    job = scheduler.submit("a", lambda _: order.append("ran") or "a")
    opened.set()
    check(job, gives="a")
    assert order == ["prepared", "ran"]
    scheduler.close()


def test_idle_work_runs_when_nothing_waits(scheduler: Scheduler[str]) -> None:
    check(scheduler.submit_idle("read", "a", lambda _: "idle", resumes=False), gives="idle")


def test_the_latest_idle_work_runs_first(scheduler: Scheduler[str]) -> None:
    gate, order = Gate(), list[str]()
    running = scheduler.submit("a", gate.work)
    assert gate.is_running.wait(TIMEOUT)
    jobs = [
        scheduler.submit_idle(
            name, name, lambda _, name=name: order.append(name) or name, resumes=False
        )
        for name in "bc"
    ]
    gate.is_open.set()
    check(running, gives="gate")
    for job, name in zip(jobs, "bc", strict=True):
        check(job, gives=name)
    assert order == ["c", "b"]


def test_idle_work_takes_the_place_of_what_is_called_the_same(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    scheduler.submit("a", gate.work)
    assert gate.is_running.wait(TIMEOUT)
    older, newer = (
        scheduler.submit_idle("read", "b", lambda _, text=text: text, resumes=True)
        for text in ("old", "new")
    )
    gate.is_open.set()
    check(older, gives=RequestCancelledError)
    check(newer, gives="new")


def test_whatever_is_asked_breaks_idle_work_off(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    idle = scheduler.submit_idle("write", "a", gate.work, resumes=False)
    assert gate.is_running.wait(TIMEOUT)
    check(scheduler.submit("b", lambda _: "asked"), gives="asked")
    check(idle, gives=RequestCancelledError)


def test_what_resumes_is_run_again(scheduler: Scheduler[str]) -> None:
    gate, starts = Gate(), threading.Semaphore(0)

    def work(cancel: CancelToken) -> str:
        starts.release()
        return gate.work(cancel)

    scheduler.submit_idle("read", "a", work, resumes=True)
    assert starts.acquire(timeout=TIMEOUT)
    check(scheduler.submit("b", lambda _: "asked"), gives="asked")
    assert starts.acquire(timeout=TIMEOUT)


def test_a_job_that_was_answered_gives_way(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    job = scheduler.submit("a", gate.work)
    assert gate.is_running.wait(TIMEOUT)
    scheduler.demote(job)
    check(scheduler.submit("b", lambda _: "asked"), gives="asked")
    check(job, gives=RequestCancelledError)


def test_a_job_that_is_wanted_again_goes_on(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    job = scheduler.submit_idle("write", "a", gate.work, resumes=False)
    assert gate.is_running.wait(TIMEOUT)
    scheduler.promote(job)
    other = scheduler.submit("b", lambda _: "asked")
    gate.is_open.set()
    check(job, gives="gate")
    check(other, gives="asked")


def test_what_is_done_for_nobody_ends_with_its_document(scheduler: Scheduler[str]) -> None:
    gate, other = Gate(), Gate()
    running = scheduler.submit_idle("reading a", "a", gate.work, resumes=True)
    assert gate.is_running.wait(TIMEOUT)
    waiting = scheduler.submit_idle("writing a", "a", lambda _: "never", resumes=False)
    kept = scheduler.submit_idle("reading b", "b", other.work, resumes=True)
    scheduler.leave("a")
    for job in (running, waiting):
        check(job, gives=RequestCancelledError)
    assert other.is_running.wait(TIMEOUT), "it does not resume"
    other.is_open.set()
    check(kept, gives="gate")


def test_what_somebody_waits_for_goes_on_when_its_document_is_left(
    scheduler: Scheduler[str],
) -> None:
    gate = Gate()
    asked = scheduler.submit("a", gate.work)
    awaited = scheduler.submit_idle(
        "following", "a", lambda _: "followed", resumes=False, is_awaited=True
    )
    scheduler.leave("a")
    gate.is_open.set()
    check(asked, gives="gate")
    check(awaited, gives="followed")


def test_closing_ends_idle_work_too() -> None:
    scheduler: Scheduler[str] = Scheduler("test", prepare=lambda: None)
    gate = Gate()
    running = scheduler.submit_idle("one", "a", gate.work, resumes=True)
    assert gate.is_running.wait(TIMEOUT)
    waiting = scheduler.submit_idle("two", "a", gate.work, resumes=True)
    scheduler.close()
    check(running, gives=RequestCancelledError)
    check(waiting, gives=RequestCancelledError)


def test_what_is_awaited_goes_before_other_idle_work(scheduler: Scheduler[str]) -> None:
    order: list[str] = []

    def noting(name: str):
        return lambda _: order.append(name) or name

    gate = Gate()
    reading = scheduler.submit_idle("reading", "a", gate.work, resumes=False)
    assert gate.is_running.wait(TIMEOUT)
    busy = Gate()
    ahead = scheduler.submit("b", busy.work)
    check(reading, gives=RequestCancelledError)
    awaited = [
        scheduler.submit_idle(name, "c", noting(name), resumes=False, is_awaited=True)
        for name in ("first", "second")
    ]
    later = scheduler.submit_idle("later", "d", noting("later"), resumes=False)
    busy.is_open.set()
    for job in (ahead, *awaited, later):
        job.future.result(TIMEOUT)
    assert order == ["first", "second", "later"]


def test_what_is_awaited_breaks_off_other_idle_work_alone(scheduler: Scheduler[str]) -> None:
    gate = Gate()
    reading = scheduler.submit_idle("reading", "a", gate.work, resumes=False)
    assert gate.is_running.wait(TIMEOUT)
    first = Gate()
    awaited = scheduler.submit_idle("1", "c", first.work, resumes=False, is_awaited=True)
    check(reading, gives=RequestCancelledError)
    assert first.is_running.wait(TIMEOUT)
    second = scheduler.submit_idle("2", "c", lambda _: "2", resumes=False, is_awaited=True)
    first.is_open.set()
    check(awaited, gives="gate")
    check(second, gives="2")
