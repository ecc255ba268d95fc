"""Progress: who sees it, when it appears, and that cancelling it stops the work."""

import asyncio
from typing import Any

import pytest

from lsp_server.features import progress as progress_module
from lsp_server.features.progress import progress
from tests.support.sessions import Session, turns

SHOWS = {"window": {"workDoneProgress": True}}
CREATE = "window/workDoneProgress/create"
CANCEL = "window/workDoneProgress/cancel"


class Work:
    """Something long: it goes on until it is told to finish."""

    def __init__(self, capabilities: object = None, token: str | int | None = None) -> None:
        self.session = Session()
        self.session.initialize(capabilities=capabilities or {})
        self.finish = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(token))

    async def _run(self, token: str | int | None) -> None:
        async with progress(self.session.server, "Work", token=token) as report:
            report("begun", 10)
            await self.finish.wait()
            report("done", 100)

    def sent(self) -> list[dict[str, Any]]:
        """What the client was sent since the last time."""
        messages = list(self.session.kept.messages)
        self.session.kept.messages.clear()
        return messages

    def answer(self, request: dict[str, Any], **answer: object) -> None:
        self.session.receive({"jsonrpc": "2.0", "id": request["id"], **answer})


def check(messages: list[dict[str, Any]], token: object, *kinds: str) -> None:
    """The steps of one progress that the client was sent."""
    assert all(message["method"] == "$/progress" for message in messages)
    assert [message["params"]["token"] for message in messages] == [token] * len(kinds)
    assert [message["params"]["value"]["kind"] for message in messages] == list(kinds)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "APPEARS_SECONDS", 0)


@pytest.mark.parametrize("token", ["theirs", 0])
async def test_the_clients_token_is_used(token: str | int) -> None:
    work = Work(token=token)
    await turns()
    (begin, report) = work.sent()
    check([begin, report], token, "begin", "report")
    assert begin["params"]["value"]["title"] == "Work"
    assert begin["params"]["value"]["cancellable"] is True
    assert report["params"]["value"] == {
        "kind": "report",
        "message": "begun",
        "percentage": 10,
    }
    work.finish.set()
    await work.task
    check(work.sent(), token, "report", "end")


@pytest.mark.usefixtures("at_once")
async def test_a_token_is_created_for_a_client_that_shows_progress() -> None:
    work = Work(SHOWS)
    await turns()
    (create,) = work.sent()
    assert create["method"] == CREATE
    work.answer(create, result=None)
    await turns()
    (begin,) = messages = work.sent()
    token = create["params"]["token"]
    check(messages, token, "begin")
    assert begin["params"]["value"]["message"] == "begun"
    assert begin["params"]["value"]["percentage"] == 10
    work.finish.set()
    await work.task
    check(work.sent(), token, "report", "end")
    assert work.session.server.cancellable == {}


async def test_what_is_quick_is_not_shown() -> None:
    work = Work(SHOWS)
    await turns()
    work.finish.set()
    await work.task
    assert work.sent() == []


@pytest.mark.usefixtures("at_once")
async def test_a_client_that_shows_no_progress_is_sent_none() -> None:
    work = Work()
    await turns()
    work.finish.set()
    await work.task
    assert work.sent() == []


@pytest.mark.usefixtures("at_once")
async def test_a_client_that_refuses_costs_the_sight_of_it_only() -> None:
    work = Work(SHOWS)
    await turns()
    (create,) = work.sent()
    work.answer(create, error={"code": -32601, "message": "no"})
    work.finish.set()
    await work.task
    assert work.sent() == []


@pytest.mark.usefixtures("at_once")
async def test_a_client_that_does_not_answer_is_not_waited_for() -> None:
    work = Work(SHOWS)
    await turns()
    (create,) = work.sent()
    work.finish.set()
    await work.task
    await turns()
    (cancel,) = work.sent()
    assert (cancel["method"], cancel["params"]["id"]) == ("$/cancelRequest", create["id"])


async def test_to_cancel_it_is_to_stop_the_work() -> None:
    work = Work(token="theirs")
    await turns()
    work.sent()
    for token in ("another", "theirs", "theirs"):
        work.session.notify(CANCEL, {"token": token})
    with pytest.raises(asyncio.CancelledError):
        await work.task
    check(work.sent(), "theirs", "end")
    work.session.notify(CANCEL, {"token": "theirs"})
    assert work.sent() == []


async def test_work_that_fails_ends_its_progress() -> None:
    session = Session()
    session.initialize()
    with pytest.raises(OSError, match="no"):
        async with progress(session.server, "Work", token=1):
            raise OSError("no")
    check(session.kept.messages, 1, "begin", "end")


async def test_what_cannot_be_cancelled_is_not() -> None:
    session = Session()
    session.initialize()
    async with progress(session.server, "Work", token=1, cancellable=False):
        session.notify(CANCEL, {"token": 1})
        await turns()
    assert session.kept.messages[0]["params"]["value"]["cancellable"] is False


async def test_the_same_word_is_said_once() -> None:
    session = Session()
    session.initialize()
    async with progress(session.server, "Work", token=1) as report:
        for percentage in (1, 1, 2):
            report("reading", percentage)
    check(session.kept.messages, 1, "begin", "report", "report", "end")
