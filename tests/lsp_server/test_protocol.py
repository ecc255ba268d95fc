import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from lsp_server.framing import Lost
from lsp_server.protocol import described
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.sessions import URI, Session, turns

PLACE = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 1}}
INLINE = {**PLACE, "context": {"triggerKind": 2}}


def check(message: object, code: int, *, request_id: object = 7, initialized: bool = True) -> None:
    """The one answer to a message is an error with this code."""
    session = Session()
    if initialized:
        session.initialize()
    session.receive(message)
    (answer,) = session.kept.messages
    assert (answer["id"], answer["error"]["code"]) == (request_id, code)
    assert "result" not in answer


async def test_a_request_before_initialize_is_refused() -> None:
    check(_request("textDocument/inlineCompletion", INLINE), -32002, initialized=False)


async def test_shutdown_before_initialize_is_refused() -> None:
    check(_request("shutdown"), -32002, initialized=False)


async def test_a_second_initialize_is_refused() -> None:
    check(_request("initialize", {"processId": None, "capabilities": {}}), -32600)


async def test_an_unknown_method_is_refused() -> None:
    check(_request("textDocument/rename", {}), -32601)


async def test_an_unknown_method_of_nobody_is_refused() -> None:
    check(_request("$/nonsense", None), -32601)


async def test_a_missing_parameter_is_refused() -> None:
    check(_request("textDocument/inlineCompletion", PLACE), -32602)


async def test_missing_parameters_are_refused() -> None:
    check(_request("textDocument/inlineCompletion"), -32602)


async def test_parameters_of_another_kind_are_refused() -> None:
    check(_request("textDocument/inlineCompletion", [1, 2]), -32602)


async def test_a_negative_position_is_refused() -> None:
    place = {**INLINE, "position": {"line": -1, "character": 0}}
    check(_request("textDocument/inlineCompletion", place), -32602)


@pytest.mark.parametrize("params", [None, [], 3, "x"])
async def test_initialize_without_parameters_is_refused_and_can_be_tried_again(
    params: object,
) -> None:
    session = Session()
    session.request(1, "initialize", params)
    session.request(2, "textDocument/inlineCompletion", INLINE)
    session.request(3, "initialize", {})
    assert [answer.get("error", {}).get("code") for answer in session.kept.messages] == [
        *(-32602, -32002, None)
    ]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"capabilities": 3, "clientInfo": [], "workspaceFolders": 3, "rootUri": {}},
        {"processId": 2**31, "initializationOptions": "x", "workspaceFolders": [{"uri": 3}, 4]},
        *({"processId": value} for value in (2**63, -1, 0, 1.5, "1", True, [], {})),
        {"capabilities": {"general": {"positionEncodings": [1, None]}, "window": 3}},
        {"capabilities": {"textDocument": [], "workspace": "x"}, "locale": 3, "trace": "loud"},
    ],
)
async def test_what_makes_no_sense_in_initialize_is_ignored(params: dict[str, object]) -> None:
    session = Session()
    session.request(1, "initialize", params)
    session.request(2, "shutdown")
    answers = [message for message in session.kept.messages if "id" in message]
    assert [answer["id"] for answer in answers] == [1, 2]
    assert all("result" in answer for answer in answers)


async def test_initialize_that_fails_can_be_tried_again() -> None:
    session = Session()
    register = session.server.protocol.fm.features
    working, register["initialize"] = register["initialize"], lambda _: 1 // 0
    session.request(1, "initialize", {})
    register["initialize"] = working
    session.request(2, "initialize", {})
    failed, succeeded = session.kept.messages
    assert failed["error"]["code"] == -32603
    assert "result" in succeeded


async def test_another_version_of_json_rpc_is_refused() -> None:
    check({"jsonrpc": "1.0", "id": 7, "method": "shutdown"}, -32600)


async def test_a_request_without_a_version_is_refused() -> None:
    check({"id": 7, "method": "shutdown"}, -32600)


async def test_a_message_without_a_method_is_refused() -> None:
    check({"jsonrpc": "2.0", "id": 7}, -32600)


async def test_a_batch_is_refused_once() -> None:
    check([_request("shutdown")], -32600, request_id=None)


async def test_an_id_that_is_no_id_is_not_repeated() -> None:
    check({"jsonrpc": "2.0", "id": {"a": 1}, "method": "shutdown"}, -32600, request_id=None)


@pytest.mark.parametrize("request_id", [None, True, [1]])
async def test_what_is_no_id_is_not_repeated(request_id: object) -> None:
    check({"jsonrpc": "2.0", "id": request_id, "method": "shutdown"}, -32600, request_id=None)


@pytest.mark.parametrize(
    "spelled", ["1.5", "-1", "1e999", "7" * 5_000, '"7"', '""', '"\\ud800"', str(2**80)]
)
async def test_an_id_is_repeated_as_it_was_spelled(spelled: str) -> None:
    session = Session()
    session.initialize()
    session.receive_bytes(
        b'\xef\xbb\xbf{"jsonrpc": "2.0", "id": %b, "method": "x/y"}' % spelled.encode()
    )
    (body,) = session.kept.bodies
    assert b'"id":%b,' % spelled.encode() in body


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'"' + b"\xed\xa0\x80" + b'"', b"[" * 100_000, b"NaN"]
)
async def test_what_is_not_json_is_refused(body: bytes) -> None:
    session = Session()
    session.receive_bytes(body)
    (answer,) = session.kept.messages
    assert (answer["id"], answer["error"]["code"]) == (None, -32700)


@pytest.mark.parametrize("body", [b"1" * 5_000, b"null", b'"x"', b"[]", b"{}"])
async def test_json_that_is_no_message_is_refused(body: bytes) -> None:
    session = Session()
    session.receive_bytes(body)
    (answer,) = session.kept.messages
    assert (answer["id"], answer["error"]["code"]) == (None, -32600)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"jsonrpc": "2.0", "id": "x", "method": "shutdown", "params": [}', -32700),
        (Lost(b'{"jsonrpc": "2.0", "id": "x", "method": "m", "params": {"a', "lost"), -32600),
    ],
)
async def test_a_request_that_cannot_be_read_is_answered_under_its_id(
    body: bytes | Lost, code: int
) -> None:
    session = Session()
    session.initialize()
    session.receive_bytes(body)
    (answer,) = session.kept.messages
    assert (answer["id"], answer["error"]["code"]) == ("x", code)


OPEN = b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"%b",'


async def test_a_document_that_is_lost_is_unknown_and_nobody_is_told() -> None:
    session = Session()
    session.initialize()
    session.open("a")
    session.receive_bytes(Lost(OPEN % URI.encode(), "too long"))
    assert session.server.documents.get(URI) is None
    assert session.kept.messages == []


@pytest.mark.parametrize(
    "head", [b'{"params":{"contentChanges":[', b'{"method":"textDocument/didChange","params":{"c']
)
async def test_when_any_document_may_have_been_lost_none_is_known(head: bytes) -> None:
    session = Session()
    session.initialize()
    session.open("a")
    session.receive_bytes(Lost(head, "too long"))
    assert session.server.documents.uris == []


async def test_after_shutdown_requests_are_refused_and_exit_succeeds() -> None:
    session = Session()
    session.initialize()
    session.request(1, "shutdown")
    session.request(2, "shutdown")
    session.request(3, "initialize", {"processId": None, "capabilities": {}})
    session.notify("exit")
    assert [answer.get("error", {}).get("code") for answer in session.kept.messages] == [
        None,
        -32600,
        -32600,
    ]
    await session.server.lifecycle.wait_ended()
    assert session.server.lifecycle.exit_code == 0


async def test_notifications_are_never_answered() -> None:
    session = Session()
    session.notify("textDocument/didOpen", {"before": "initialize"})
    session.initialize()
    session.notify("textDocument/didOpen", {"wrong": 1})
    session.notify("nobody/knows", None)
    session.notify("$/cancelRequest", {"id": "unknown"})
    session.notify("$/cancelRequest", {})
    session.receive({"jsonrpc": "2.0", "id": 1, "result": None})
    session.receive({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}})
    assert session.kept.messages == []


async def test_a_cancelled_request_is_answered_once_and_stops_the_engine() -> None:
    session = Session(ScriptedEngine(Script(is_held=True)))
    session.initialize()
    session.open("a")
    session.request(7, "textDocument/inlineCompletion", INLINE)
    await turns()
    session.notify("$/cancelRequest", {"id": "7"})
    await turns()
    assert session.engine.log.num_running == 1, "another id was cancelled"
    session.notify("$/cancelRequest", {"id": 7})
    session.notify("$/cancelRequest", {"id": 7})
    await turns()
    assert [answer["error"]["code"] for answer in session.kept.messages] == [-32800]
    assert (session.engine.log.num_running, session.engine.log.num_cancelled) == (0, 1)


async def test_true_is_no_id_to_cancel() -> None:
    session = await _held(1)
    session.notify("$/cancelRequest", {"id": True})
    await turns()
    assert session.engine.log.num_running == 1
    session.notify("$/cancelRequest", {"id": 1.0})
    await turns()
    assert [answer["id"] for answer in session.kept.messages] == [1]


async def test_a_second_request_under_an_id_is_refused_while_the_first_is_answered() -> None:
    session = await _held(7)
    session.request(7, "textDocument/inlineCompletion", INLINE)
    await turns()
    session.notify("$/cancelRequest", {"id": 7})
    await turns()
    codes = [(answer["id"], answer["error"]["code"]) for answer in session.kept.messages]
    assert codes == [(7, -32600), (7, -32800)]
    session.engine.release()
    session.request(7, "textDocument/inlineCompletion", INLINE)
    await turns()
    assert "result" in session.kept.messages[-1]


async def test_what_is_cancelled_while_it_waits_is_answered_at_once_and_never_begun() -> None:
    session = Session()
    session.initialize()
    session.open("a")
    protocol, request = session.server.protocol, _request("textDocument/inlineCompletion", INLINE)
    cancel = {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 7}}
    assert not protocol.arrive(request)
    assert protocol.arrive(cancel)
    assert [answer["error"]["code"] for answer in session.kept.messages] == [-32800]
    assert session.kept.num_urgent == 1
    assert not protocol.arrive(request), "its id is free again"
    assert protocol.arrive(cancel)
    assert not protocol.arrive(request)
    for _ in range(3):
        protocol.receive(request)
    await turns()
    assert len(session.engine.log.requests) == 1
    assert [answer["id"] for answer in session.kept.messages] == [7, 7, 7]
    assert "result" in session.kept.messages[-1]


async def test_shutdown_answers_what_still_runs() -> None:
    session = Session(ScriptedEngine(Script(is_held=True)))
    session.initialize()
    session.open("a")
    session.request("text id", "textDocument/inlineCompletion", INLINE)
    await turns()
    session.request(8, "shutdown")
    await turns()
    assert {answer["id"] for answer in session.kept.messages} == {"text id", 8}
    assert session.server.protocol._request_futures == {}


async def test_an_error_of_ours_is_shown_with_its_text() -> None:
    answer = await _failing("user")
    assert answer["error"] == {"code": -32803, "message": "the script says no"}


async def test_a_bug_is_answered_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    answer = await _failing("bug")
    assert answer["error"]["code"] == -32603
    assert "ValueError" in answer["error"]["message"]
    assert "secret" not in json.dumps(answer) + caplog.text
    assert "scripted_engine.py" in caplog.text


async def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    session = Session()
    session.server.feature("test/unsendable")(lambda _params: float)
    session.initialize()
    session.request(7, "test/unsendable")
    (answer,) = session.kept.messages
    assert answer["error"]["code"] == -32603


async def test_a_failing_notification_costs_nothing_else() -> None:
    def fail(_params: object) -> None:
        raise ValueError("no")

    session = Session()
    session.server.feature("test/notify")(fail)
    session.initialize()
    session.notify("test/notify", {})
    session.request(7, "shutdown")
    assert session.kept.messages == [{"jsonrpc": "2.0", "id": 7, "result": None}]


@pytest.mark.parametrize("kind", [2, 3, None, "x"])
async def test_an_unknown_trigger_kind_is_automatic(kind: object) -> None:
    params = {**INLINE, "context": {"triggerKind": kind}}
    assert await _max_tokens_of(params) == 64


async def test_an_invoked_completion_may_be_longer() -> None:
    assert await _max_tokens_of({**INLINE, "context": {"triggerKind": 1}}) == 128


async def test_a_very_large_column_is_the_end_of_the_line() -> None:
    place = {**INLINE, "position": {"line": 0, "character": 2**40}}
    session = await _answered(place, text="a\nb")
    assert session.engine.log.requests[0].prefix == "a"


def test_an_error_is_described_without_its_text() -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        int("sec" + "ret")
    description = described(caught.value)
    assert description.startswith("ValueError")
    assert "test_protocol.py" in description
    assert "secret" not in description


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values),
    max_leaves=6,
)
METHODS = st.sampled_from(
    [
        *("textDocument/inlineCompletion", "textDocument/completion", "textDocument/didOpen"),
        *("textDocument/didChange", "workspace/didChangeConfiguration", "initialize", "x"),
    ]
)
PARAMS = JSON | st.fixed_dictionaries({"textDocument": JSON, "position": JSON, "context": JSON})


def test_every_request_is_answered_once() -> None:
    with asyncio.Runner() as runner:
        session = runner.run(_session())

        @given(st.integers() | st.text(), METHODS, PARAMS)
        def check_one(request_id: object, method: str, params: object) -> None:
            session.kept.messages.clear()
            session.request(request_id, method, params)
            runner.run(turns())
            assert [answer["id"] for answer in session.kept.messages] == [request_id]

        check_one()


async def _session() -> Session:
    session = Session()
    session.initialize()
    session.open("a")
    return session


async def _held(request_id: object) -> Session:
    """Return a session whose engine is busy with one request."""
    session = Session(ScriptedEngine(Script(is_held=True)))
    session.initialize()
    session.open("a")
    session.request(request_id, "textDocument/inlineCompletion", INLINE)
    await turns()
    return session


async def _failing(raises: str) -> dict[str, object]:
    session = Session(ScriptedEngine(Script(raises=raises)))
    session.initialize()
    session.open("secret")
    at_the_end = {**INLINE, "position": {"line": 0, "character": 6}}
    session.request(7, "textDocument/inlineCompletion", at_the_end)
    await turns()
    (answer,) = session.kept.messages
    return answer


async def _max_tokens_of(params: object) -> int:
    session = await _answered(params)
    (request,) = session.engine.log.requests
    return request.max_tokens


async def _answered(params: object, *, text: str = "a") -> Session:
    """Return a session in which one request was answered with a completion."""
    session = Session()
    session.initialize()
    session.open(text)
    session.request(7, "textDocument/inlineCompletion", params)
    await turns()
    (answer,) = session.kept.messages
    assert answer["result"]["items"]
    return session


def _request(method: str, params: object = None) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def test_types_of_lsp_are_what_the_tests_spell() -> None:
    assert types.LSPErrorCodes.RequestFailed == -32803
    assert types.LSPErrorCodes.RequestCancelled == -32800
