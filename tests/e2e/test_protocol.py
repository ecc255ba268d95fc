"""The server as a process, spoken to in raw bytes: frames, storms, several documents at once."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lsp_server.framing import frame
from tests.support.raw_client import RawClient, inline_params

pytestmark = pytest.mark.e2e

INLINE = "textDocument/inlineCompletion"
URI = "file:///workspace/a.py"

MAX_STORM_SECONDS = 10.0
MAX_REPLY_SECONDS = 0.2
"""The aims are 2 s and 0.02 s, on a machine that does nothing else."""


@pytest.fixture(scope="module")
def shared() -> Iterator[RawClient]:
    """One server for every test that leaves it usable: which all of these must do."""
    with RawClient() as client:
        client.initialize()
        yield client
        assert client.leave() == 0


@pytest.fixture
def client(shared: RawClient) -> RawClient:
    shared.result("scripted/play", {})
    shared.open("def f():\n    ")
    return shared


def check_served(client: RawClient) -> None:
    (item,) = client.result(INLINE, inline_params(1, 4))["items"]
    assert item["insertText"] == "return 1"


def check_refused(client: RawClient, body: bytes, code: int, request_id: object = None) -> None:
    """One body is answered with an error, and the server goes on."""
    client.send_bytes(frame(body))
    assert client.response(request_id)["error"]["code"] == code
    check_served(client)


def check_leaves(data: bytes, *, answers: str | None) -> None:
    """Bytes that cannot be followed by a frame are answered, and the server leaves with 1."""
    with RawClient() as client:
        client.send_bytes(data)
        if answers is not None:
            error = client.response(None)["error"]
            assert error["code"] == -32600
            assert answers in error["message"]
        else:
            client.process.stdin.close()
        assert client.finish() == 1


def test_a_completion_is_served(client: RawClient) -> None:
    check_served(client)


def test_bad_json_is_refused(client: RawClient) -> None:
    check_refused(client, b'{"jsonrpc": "2.0", ', -32700)


def test_a_body_in_another_encoding_is_refused(client: RawClient) -> None:
    check_refused(client, '{"jsonrpc": "2.0", "method": "é"}'.encode("latin-1"), -32700)


def test_an_empty_body_is_refused(client: RawClient) -> None:
    check_refused(client, b"", -32700)


def test_a_batch_is_refused(client: RawClient) -> None:
    check_refused(client, b'[{"jsonrpc": "2.0", "id": 1, "method": "shutdown"}]', -32600)


def test_deeply_nested_json_is_refused(client: RawClient) -> None:
    check_refused(client, b"[" * 200_000, -32700)


def test_deeply_nested_parameters_are_refused(client: RawClient) -> None:
    nested = b'{"jsonrpc": "2.0", "id": "deep", "method": "%b", "params": ' % INLINE.encode()
    check_refused(client, nested + b"[" * 800 + b"]" * 800 + b"}", -32602, "deep")


def test_a_frame_in_many_pieces_is_understood(client: RawClient) -> None:
    message = {"jsonrpc": "2.0", "id": "pieces", "method": INLINE, "params": inline_params(1, 4)}
    for byte in frame(json.dumps(message).encode()):
        client.send_bytes(bytes([byte]))
    assert client.response("pieces")["result"]["items"]


def test_lenient_headers_are_understood(client: RawClient) -> None:
    body = b'{"jsonrpc": "2.0", "id": "lenient", "method": "nobody/knows"}'
    client.send_bytes(b"content-length:%d\n\n%b" % (len(body), body))
    assert client.response("lenient")["error"]["code"] == -32601


@pytest.mark.slow
def test_garbage_ends_the_server() -> None:
    check_leaves(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", answers="no colon")


@pytest.mark.slow
def test_binary_garbage_ends_the_server() -> None:
    check_leaves(bytes(range(256)) * 64, answers="header")


def test_a_length_that_was_never_meant_costs_its_own_message_only(client: RawClient) -> None:
    header = b"Content-Length: 999999999999\r\n\r\n"
    client.send_bytes(header + b'{"id": "cut off", "method": "m"}')
    check_served(client)
    assert client.response("cut off")["error"]["code"] == -32600
    client.send_bytes(header + b'{"id": "too long", "method": "m"}'.ljust(2000))
    assert "longer than" in client.response("too long")["error"]["message"]
    check_served(client)


def test_json_lines_are_answered_as_they_come_and_end_the_server() -> None:
    with RawClient(parse=json_lines) as client:
        client.send_bytes(b'{"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {}}\n')
        error = client.response(3)["error"]
        assert (error["code"], "Content-Length" in error["message"]) == (-32600, True)
        assert client.finish() == 1


def json_lines(data: bytes) -> list[bytes]:
    return data.splitlines()


@pytest.mark.slow
def test_an_absurd_length_ends_the_server() -> None:
    check_leaves(b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", answers="no number")


@pytest.mark.slow
def test_half_a_frame_and_the_end_of_the_input_end_the_server() -> None:
    check_leaves(b'Content-Length: 100\r\n\r\n{"jsonrpc"', answers=None)


def test_a_cancellation_storm_is_answered_one_by_one_and_at_once(client: RawClient) -> None:
    """A client sends 2,000 requests and cancels each; how long each of those takes is measured."""
    client.result("scripted/play", {"is_held": True})
    ids, cancelled_at = list[int](), dict[int, float]()
    began = time.perf_counter()
    for _ in range(2_000):
        ids.append(client.post(INLINE, inline_params(1, 4)))
        cancelled_at[ids[-1]] = time.perf_counter()
        client.notify("$/cancelRequest", {"id": ids[-1]})
    answers = [client.response(request_id) for request_id in ids]
    took = [client.answered_at[request_id] - cancelled_at[request_id] for request_id in ids]
    whole = max(client.answered_at[request_id] for request_id in ids) - began
    codes = {answer["error"]["code"] if "error" in answer else "empty" for answer in answers}
    assert codes <= {-32800, "empty"}
    assert -32800 in codes
    assert all(_items(answer) == [] for answer in answers if "result" in answer)
    log = client.result("scripted/log", {})
    assert log["num_running"] == 0
    assert log["num_answered"] == 0
    assert whole < MAX_STORM_SECONDS
    assert sorted(took)[-20] < MAX_REPLY_SECONDS
    client.result("scripted/play", {})
    check_served(client)


def test_a_cancelled_request_stops_the_engine_at_its_next_step(client: RawClient) -> None:
    client.result("scripted/play", {"num_steps": 1_000_000, "step_ms": 1})
    request_id = client.post(INLINE, inline_params(1, 4))
    while client.result("scripted/log", {})["num_steps"] < 3:
        pass
    client.notify("$/cancelRequest", {"id": request_id})
    assert client.response(request_id)["error"]["code"] == -32800
    log = client.result("scripted/log", {})
    assert (log["num_running"], log["num_cancelled"]) == (0, 1)
    assert client.result("scripted/log", {})["num_steps"] == log["num_steps"]


def test_the_latest_request_of_a_document_wins(client: RawClient) -> None:
    client.result("scripted/play", {"is_held": True})
    ids = [client.post(INLINE, inline_params(1, 4)) for _ in range(5)]
    assert [_items(client.response(request_id)) for request_id in ids[:-1]] == [[], [], [], []]
    client.result("scripted/release", {})
    assert len(_items(client.response(ids[-1]))) == 1


def test_two_documents_are_served_at_once(client: RawClient) -> None:
    other = "file:///workspace/b.py"
    client.open("x = ", other)
    client.result("scripted/play", {"is_held": True})
    one = client.post(INLINE, inline_params(1, 4))
    two = client.post(INLINE, inline_params(0, 4, other))
    assert client.result("scripted/log", {})["num_running"] == 2
    client.result("scripted/release", {})
    assert _items(client.response(one))
    assert _items(client.response(two))


def test_a_document_closed_while_its_request_runs_is_answered_from_its_snapshot(
    client: RawClient,
) -> None:
    client.result("scripted/play", {"is_held": True})
    request_id = client.post(INLINE, inline_params(1, 4))
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    client.result("scripted/release", {})
    assert len(_items(client.response(request_id))) == 1


def test_an_edit_right_behind_a_request_does_not_reach_it(client: RawClient) -> None:
    """Both messages arrive in one piece, so the edit is here before the request is worked on."""
    request = {"jsonrpc": "2.0", "id": "mine", "method": INLINE, "params": inline_params(1, 4)}
    change = {
        "textDocument": {"uri": URI, "version": 2},
        "contentChanges": [{"text": "something else"}],
    }
    edit = {"jsonrpc": "2.0", "method": "textDocument/didChange", "params": change}
    client.send_bytes(b"".join(frame(json.dumps(message).encode()) for message in (request, edit)))
    assert _items(client.response("mine"))
    (seen,) = client.result("scripted/log", {})["requests"]
    assert seen["prefix"] == "def f():\n    "


def test_an_empty_file_is_answered_empty(client: RawClient) -> None:
    client.open("")
    assert client.result(INLINE, inline_params(0, 0)) == {"items": []}


@pytest.mark.slow
def test_two_editors_on_one_file_do_not_disturb_each_other(client: RawClient) -> None:
    with RawClient() as other:
        other.initialize()
        other.open("class A:\n    ")
        client.result("scripted/play", {"text": "for the first"})
        assert other.result(INLINE, inline_params(1, 4))["items"][0]["insertText"] == "return 1"
        (item,) = client.result(INLINE, inline_params(1, 4))["items"]
        assert item["insertText"] == "for the first"
        assert other.leave() == 0
    assert _items(client.response(client.post(INLINE, inline_params(1, 4))))


def test_a_client_that_does_not_read_is_served_when_it_reads_again(client: RawClient) -> None:
    """The server reads on meanwhile: it is sent more than a pipe holds, while its own is full."""
    text = "x" * 1_000_000
    client.result("scripted/play", {"text": text})
    with client.not_reading():
        ids = list[int]()
        for number in range(5):
            uri = f"file:///workspace/{number}.py"
            client.open("def f():\n    ", uri)
            ids.append(client.post(INLINE, inline_params(1, 4, uri)))
        client.open("y" * 1_000_000, "file:///workspace/large.py")
        assert not client.has_response(ids[0])
    answers = [client.response(request_id) for request_id in ids]
    assert [item["insertText"] for answer in answers for item in _items(answer)] == [text] * 5
    client.result("scripted/play", {})
    check_served(client)


def _items(answer: dict[str, Any]) -> list[Any]:
    return answer["result"]["items"]
