"""What the server asks of the client: one future each, whatever comes back."""

import asyncio

import pytest
from pygls.exceptions import JsonRpcException

from tests.support.sessions import Session, turns

METHOD = "workspace/configuration"


def asked() -> tuple[Session, "asyncio.Future[object]", str]:
    """A session that has asked one thing, what it waits for, and the id that it asked under."""
    session = Session()
    session.initialize()
    future = session.server.protocol.request(METHOD, {"items": []})
    (message,) = session.kept.messages
    session.kept.messages.clear()
    assert (message["method"], message["params"]) == (METHOD, {"items": []})
    return session, future, message["id"]


async def check(answer: dict[str, object], *, gives: object) -> None:
    """What an answer of the client comes to: a result, or the code of an error."""
    session, future, request_id = asked()
    session.receive({"jsonrpc": "2.0", "id": request_id, **answer})
    if isinstance(gives, int):
        with pytest.raises(JsonRpcException) as caught:
            await future
        assert caught.value.code == gives
    else:
        assert await future == gives
    await turns()
    assert session.kept.messages == []
    assert session.server.protocol._asked == {}


async def test_a_result_is_handed_over() -> None:
    await check({"result": [{"a": 1}]}, gives=[{"a": 1}])


@pytest.mark.parametrize("answer", [{"result": None}, {}, {"error": None}])
async def test_no_result_is_none(answer: dict[str, object]) -> None:
    await check(answer, gives=None)


@pytest.mark.parametrize("error", [{}, 3, {"code": "x"}, {"message": "only"}])
async def test_an_error_without_a_code_is_an_error(error: object) -> None:
    await check({"error": error}, gives=-32600)


async def test_an_error_is_raised_without_the_clients_words() -> None:
    session, future, request_id = asked()
    error = {"code": -32601, "message": "secret"}
    session.receive({"jsonrpc": "2.0", "id": request_id, "error": error})
    with pytest.raises(JsonRpcException) as caught:
        await future
    assert caught.value.code == -32601
    assert "secret" not in str(caught.value)


async def test_a_second_answer_and_a_strange_one_are_ignored() -> None:
    session, future, request_id = asked()
    session.receive({"jsonrpc": "2.0", "id": "nobody's", "result": 1})
    for result in (2, 3):
        session.receive({"jsonrpc": "2.0", "id": request_id, "result": result})
    assert await future == 2
    assert session.kept.messages == []


async def test_every_request_has_an_id_of_its_own() -> None:
    session, _, first = asked()
    session.server.protocol.request(METHOD, None)
    assert session.kept.messages[0]["id"] != first


async def test_a_client_may_use_the_same_ids() -> None:
    session, future, request_id = asked()
    session.request(request_id, "workspace/executeCommand", {"command": "inkling.status"})
    await turns()
    assert session.kept.messages[0]["result"]["state"] == "ready"
    assert not future.done()


async def test_who_waits_no_more_says_so() -> None:
    session, future, request_id = asked()
    future.cancel()
    await turns()
    (message,) = session.kept.messages
    assert (message["method"], message["params"]) == ("$/cancelRequest", {"id": request_id})
    session.receive({"jsonrpc": "2.0", "id": request_id, "error": {"code": -32800}})
    assert len(session.kept.messages) == 1
    assert session.server.protocol._asked == {}


async def test_nobody_waits_behind_the_end() -> None:
    session, future, _ = asked()
    session.request(1, "shutdown")
    await turns()
    assert future.cancelled()
    assert [message["id"] for message in session.kept.messages] == [1]


@pytest.mark.parametrize(
    ("kinds", "max_tokens"),
    [
        ([1, 2], [128, 64]),
        ([0], [128]),
        ([0, 1, 0, 1], [128, 64, 128, 64]),
        ([False, 1], [64, 128]),
    ],
    ids=["of today", "the first", "of before 3.18", "no number"],
)
async def test_trigger_kinds_are_counted_from_zero_by_old_libraries(
    kinds: list[object], max_tokens: list[int]
) -> None:
    session = Session()
    session.initialize()
    session.open("a")
    for number, kind in enumerate(kinds):
        place = {"uri": "file:///workspace/a.py"}, {"line": 0, "character": 1}
        params = {"textDocument": place[0], "position": place[1], "context": {"triggerKind": kind}}
        session.request(number, "textDocument/inlineCompletion", params)
        await turns()
    assert [request.max_tokens for request in session.engine.log.requests] == max_tokens
