"""Files of a size that a server must not notice: what is measured is processor time of the loop."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from inference.completion import MAX_TEXT_CHARACTERS
from lsp_server.framing import MAX_BODY_BYTES
from tests.support.raw_client import RawClient, inline_params

pytestmark = pytest.mark.e2e

INLINE = "textDocument/inlineCompletion"
URI = "file:///workspace/a.py"
OTHER = "file:///workspace/b.py"
NUM_LINES = 100_000
LINE = "    value = compute(value)  # é\n"

MAX_KEYSTROKE_MS = 12.0
"""What is to be found took 35 and more. Invariant 14 says 1 ms; the clock counts what a slow or
loaded machine adds to our own work, too: one edit of 5,000 took 10 in a run of all tests."""

MAX_LARGE_KEYSTROKE_MS = 15.0
"""In 50 MB all of 6,000 pieces are counted over."""


@pytest.fixture(scope="module")
def client() -> Iterator[RawClient]:
    with RawClient() as client:
        client.initialize()
        yield client
        assert client.leave() == 0


def check_typing(client: RawClient, line: int) -> None:
    """Type 100 characters behind a line, with a completion after each; the loop hardly notices."""
    end = len(LINE) - 1
    _type(client, line, end)
    client.result("scripted/play", {})
    for column in range(end + 1, end + 101):
        answer = _type(client, line, column)
        assert answer["items"][0]["range"]["start"] == {"line": line, "character": column + 1}
    log = client.result("scripted/log", {})
    assert log["num_answered"] == 100
    assert log["slowest_callback_ms"] < MAX_KEYSTROKE_MS


@pytest.mark.parametrize("line", [0, NUM_LINES // 2, NUM_LINES - 1])
def test_typing_in_a_file_of_100_000_lines_does_not_block(client: RawClient, line: int) -> None:
    client.open(LINE * NUM_LINES)
    check_typing(client, line)


def test_a_flood_of_edits_loses_none(client: RawClient) -> None:
    client.open(LINE * 2_000)
    client.result("scripted/play", {})
    place = {"line": 1_000, "character": 0}
    for version in range(5_000):
        change = {"range": {"start": place, "end": place}, "text": "ab"[version % 2]}
        document = {"uri": URI, "version": version + 2}
        client.notify(
            "textDocument/didChange", {"textDocument": document, "contentChanges": [change]}
        )
    client.result(INLINE, inline_params(1_000, 5_000))
    log = client.result("scripted/log", {})
    assert log["requests"][0]["prefix"].endswith("\n" + "ba" * 2_500)
    assert log["slowest_callback_ms"] < MAX_KEYSTROKE_MS


def test_a_large_file_is_shown_to_the_engine_in_part(client: RawClient) -> None:
    client.open(LINE * NUM_LINES)
    client.result("scripted/play", {})
    client.result(INLINE, inline_params(NUM_LINES // 2, 4))
    (request,) = client.result("scripted/log", {})["requests"]
    assert request["prefix"].endswith(LINE + "    ")
    assert len(request["prefix"]) == len(request["suffix"]) == MAX_TEXT_CHARACTERS
    assert request["num_skipped"] == len(LINE) * (NUM_LINES // 2) + 4 - MAX_TEXT_CHARACTERS


def test_a_file_above_the_limit_gets_no_completions_and_no_message(client: RawClient) -> None:
    client.open("x" * 5_000_001)
    client.result("scripted/play", {})
    assert client.result(INLINE, inline_params(0, 4)) == {"items": []}
    assert client.result("scripted/log", {})["requests"] == []
    assert client.others == []


def _type(client: RawClient, line: int, column: int) -> Any:
    place = {"line": line, "character": column}
    client.notify(
        "textDocument/didChange",
        {
            "textDocument": {"uri": URI, "version": column + 2},
            "contentChanges": [{"range": {"start": place, "end": place}, "text": "x"}],
        },
    )
    return client.result(INLINE, inline_params(line, column + 1))


LONG = "é" * 5_000_000
"""10 MB in one line."""


@pytest.mark.parametrize("text", [LONG, f"a\r\n{LONG}\r\nb\r\n", f"a\r{LONG}\rb", "x" * 10_000_000])
def test_typing_in_a_line_of_10_mb_does_not_block(client: RawClient, text: str) -> None:
    client.open(text)
    line = 0 if text[1] == text[2] else 1
    client.result("scripted/play", {})
    for version in range(20):
        assert _type(client, line, 4_000_000 + version)["items"] == []
    log = client.result("scripted/log", {})
    assert log["requests"] == []
    assert log["slowest_callback_ms"] < MAX_KEYSTROKE_MS


def test_a_document_of_50_mb_is_opened_and_edited_while_others_are_served(
    client: RawClient,
) -> None:
    large = "file:///workspace/large.py"
    client.open("x = ")
    client.result("scripted/play", {})
    client.open(LINE * 1_600_000, large)
    assert client.result(INLINE, inline_params(0, 4, large)) == {"items": []}
    place = {"line": 800_000, "character": 0}
    for version in range(20):
        document = {"uri": large, "version": version + 2}
        change = {"range": {"start": place, "end": place}, "text": "x"}
        client.notify(
            "textDocument/didChange", {"textDocument": document, "contentChanges": [change]}
        )
    assert client.result(INLINE, inline_params(0, 4))["items"]
    assert client.result("scripted/log", {})["slowest_callback_ms"] < MAX_LARGE_KEYSTROKE_MS
    client.notify("textDocument/didClose", {"textDocument": {"uri": large}})


@pytest.mark.slow
def test_a_message_above_the_limit_costs_its_own_document_only() -> None:
    """It is thrown away as it comes; what is known is from its beginning."""
    with RawClient() as client:
        client.initialize()
        client.open("def f():\n    ")
        client.open("y = ", OTHER)
        assert client.result(INLINE, inline_params(0, 4, OTHER))["items"]
        server = psutil.Process(client.process.pid)
        before = server.memory_info().rss
        client.open("x" * (MAX_BODY_BYTES + 1), OTHER)
        assert client.result(INLINE, inline_params(0, 4, OTHER)) == {"items": []}
        assert client.result(INLINE, inline_params(1, 4))["items"]
        assert server.memory_info().rss - before < 8 << 20
        assert client.error("inkling/unknown", {"x": "x" * MAX_BODY_BYTES}) == -32600
        client.open("y = ", OTHER)
        assert client.result(INLINE, inline_params(0, 4, OTHER))["items"]
        assert client.others == []
        assert client.leave() == 0
