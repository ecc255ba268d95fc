"""RemoteEngine: what it sends, what it makes of answers, and what it does in trouble.

What every engine keeps is in test_engine.py, which runs for each kind of endpoint.
"""

import asyncio
import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from inference.chat import Message
from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
)
from inference.engine import EngineState
from inference.errors import RemoteError
from inference.serving.remote.credentials import token_file
from inference.serving.remote.endpoint import Endpoint, RemoteOptions
from inference.serving.remote.engine import RemoteEngine
from tests.inference.serving.remote.conftest import Opening
from tests.support.fake_endpoint import KINDS, FakeEndpoint, Fault, Kind
from tests.support.until import until

CANARY = "canary_7d1f"
REQUEST = CompletionRequest(
    document=f"file:///place/{CANARY}.py",
    prefix=f"class A:\n    def f(self, {CANARY}):\n        self.",
    suffix="\n\nprint(A())\n",
    language="python",
)


async def check(
    engine: RemoteEngine, request: CompletionRequest = REQUEST, *, gives: str, reason: FinishReason
) -> Completion:
    completion = await engine.complete(request)
    assert (completion.text, completion.finish_reason) == (gives, reason)
    return completion


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ours"])
async def test_a_statement_ends_where_it_ends_and_the_connection_is_closed(
    kind: Kind, endpoint: FakeEndpoint, connect: Opening
) -> None:
    endpoint.kind = kind
    endpoint.pieces = ["na", "me = 1", "\n", "\n", "def g():\n", *["    pass\n"] * 1000]
    engine = await connect(endpoint)
    completion = await check(engine, gives="name = 1", reason=FinishReason.STATEMENT)
    assert completion.syntax is not None
    assert completion.syntax.num_errors_after == 0
    await until(lambda: bool(endpoint.num_left))


@pytest.mark.parametrize("kind", KINDS)
async def test_tokens_are_counted_as_they_are_told(
    kind: Kind, endpoint: FakeEndpoint, connect: Opening
) -> None:
    endpoint.kind = kind
    engine = await connect(endpoint)
    completion = await engine.complete(REQUEST)
    assert completion.text.strip() == "name"
    if kind in ("ours", "llama-server"):
        assert (completion.tokens.prompt, completion.tokens.generated) == (7, 2)


async def test_our_own_service_is_believed(endpoint: FakeEndpoint, connect: Opening) -> None:
    """Its engine has cleaned and judged; even what our rules would cut stays."""
    endpoint.kind = "ours"
    endpoint.pieces = ["a = 1\n", "\n", "b = 2"]
    completion = await check(
        await connect(endpoint), gives="a = 1\n\nb = 2", reason=FinishReason.BLOCK
    )
    assert completion.log_probabilities == (-0.5, -0.25)


async def test_what_is_written_fits_as_what_our_model_writes_does(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    endpoint.pieces = ["name)"]  # the bracket stands behind the cursor already
    inside = replace(REQUEST, prefix="print(", suffix=")\n")
    await check(engine, inside, gives="name", reason=FinishReason.END_TOKEN)
    endpoint.pieces = ["a = 1\n", "b = 2<E>", "more"]
    crlf = CompletionRequest(document="b", prefix="x = 0\r\n", suffix="", language="python")
    completion = await check(engine, crlf, gives="a = 1\r\nb = 2", reason=FinishReason.END_TOKEN)
    assert "<E>" not in completion.text


async def test_a_line_is_ended_by_the_endpoint_itself(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    """So that its connection can be used again."""
    engine = await connect(endpoint)
    num_connections = endpoint.num_connections
    endpoint.pieces = ["name"]
    for number in range(3):
        await check(
            engine,
            replace(REQUEST, document=str(number), scope="line"),
            gives="name",
            reason=FinishReason.END_TOKEN,
        )
    assert endpoint.completions[0].body["stop"] == ["\n", "<E>"]
    assert endpoint.num_connections == num_connections


async def test_the_deadline_gives_what_is_written_by_then(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    endpoint.fault, endpoint.slow_s = "stall", 30.0
    late = replace(REQUEST, deadline_ms=200)
    await check(engine, late, gives="na", reason=FinishReason.DEADLINE)
    endpoint.fault = "hang"
    await check(engine, late, gives="", reason=FinishReason.EMPTY)


async def test_first_lines_are_there_in_time_and_the_rest_is_known_when_they_were_taken(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    endpoint.fault, endpoint.slow_s = "slow", 0.06
    endpoint.pieces = ["if a:\n", "    b = 1\n", "else:\n", "    c = 1\n"]
    request = CompletionRequest(
        document="d", prefix="x = 1\n", language="python", first_text_ms=100
    )
    first = await check(engine, request, gives="if a:", reason=FinishReason.LINE)
    await asyncio.sleep(0.6)
    taken = replace(request, prefix=request.prefix + first.text)
    rest = await engine.complete(taken)
    assert rest.origin == "cache"
    assert rest.text == "\n    b = 1\nelse:\n    c = 1"
    assert len(endpoint.completions) == 1


async def test_what_is_typed_of_an_answer_asks_nobody(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    request = replace(REQUEST, first_text_ms=400)
    await check(engine, request, gives="name", reason=FinishReason.END_TOKEN)
    typed = replace(request, prefix=request.prefix + "na")
    await check(engine, typed, gives="me", reason=FinishReason.END_TOKEN)
    assert len(endpoint.completions) == 1


async def test_cancelling_closes_the_connection(endpoint: FakeEndpoint, connect: Opening) -> None:
    engine = await connect(endpoint)
    endpoint.fault, endpoint.slow_s = "stall", 30.0
    request = asyncio.ensure_future(engine.complete(REQUEST))
    await until(lambda: bool(endpoint.completions))
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await until(lambda: bool(endpoint.num_left))


async def test_an_instruction_is_not_for_it(endpoint: FakeEndpoint, connect: Opening) -> None:
    engine = await connect(endpoint)
    instruction = InstructionRequest(document="a", messages=(Message("user", "explain"),))
    assert await engine.complete(instruction) == Completion.nothing(FinishReason.EMPTY)
    assert endpoint.completions == []


async def test_a_session_is_the_same_for_a_document_and_names_none(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    for document in ("a", "b", "a"):
        await engine.complete(replace(REQUEST, document=document))
    first, other, again = (one.headers["x-session-id"] for one in endpoint.completions)
    assert first == again != other
    sent = str([(one.route, one.headers) for one in endpoint.asked])
    assert CANARY not in sent


@pytest.mark.parametrize(("num_wanted", "sent"), [(0, []), (2, ["c.py", "b.py"])])
async def test_other_texts_go_only_where_the_user_says_so(
    num_wanted: int, sent: list[str], endpoint: FakeEndpoint, connect: Opening
) -> None:
    endpoint.kind = "ours"
    engine = await connect(endpoint, num_neighbours=num_wanted)
    for name in ("a.py", "b.py", "c.py", "b.py", "gone.py"):
        engine.remember(f"file:///place/{name}", f"# {name}")
    engine.remember("file:///place/gone.py", None)
    engine.remember(REQUEST.document, "its own")
    await engine.complete(REQUEST)
    (asked,) = endpoint.completions
    assert [one["filename"] for one in asked.body["inkling"]["extra"]] == sent


async def test_our_own_service_reads_ahead_and_others_do_not(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    for kind, num_more in (("openai", 0), ("ours", 1)):
        endpoint.kind, endpoint.model = kind, kind
        engine = await connect(endpoint)
        before = len(endpoint.asked)
        engine.warm(REQUEST)
        await asyncio.sleep(0.1)
        assert len(endpoint.asked) - before == num_more
    assert endpoint.asked[-1].body["n_predict"] == 0


FAULTS: dict[Fault, str] = {
    "busy": "it is busy (503)",
    "broken": "it answers with 500",
    "unauthorized": "it refuses our token (401)",
    "redirect": "it sends us elsewhere",
    "half-close": "the connection broke off",
    "garbage": "it answers in words that are not understood",
    "endless": "it answers without end",
    "error": "it answers that something is wrong",
}


@pytest.mark.parametrize(("fault", "says"), FAULTS.items())
async def test_trouble_is_one_line_and_a_pause(
    fault: Fault,
    says: str,
    endpoint: FakeEndpoint,
    connect: Opening,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = await connect(endpoint)
    endpoint.fault = fault
    await check(engine, gives="", reason=FinishReason.UNAVAILABLE)
    status = engine.status()
    assert status.state is EngineState.FAILED
    assert status.message.startswith(f"{endpoint.url}: {says}")
    assert "\n" not in status.message
    num_asked = len(endpoint.asked)
    for _ in range(20):
        await check(engine, gives="", reason=FinishReason.UNAVAILABLE)
    assert len(endpoint.asked) == num_asked
    told = [one.getMessage() for one in caplog.records if one.name.startswith("inference")]
    assert told == [status.message]
    assert CANARY not in caplog.text


async def test_no_redirect_is_followed(endpoint: FakeEndpoint, connect: Opening) -> None:
    endpoint.fault, endpoint.is_all_faulty = "redirect", True
    engine = await connect(endpoint)
    assert engine.status().state is EngineState.FAILED
    assert {one.route for one in endpoint.asked} == {"/v1/models"}


async def test_a_connection_that_has_ended_meanwhile_is_made_anew_once(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    endpoint.fault = "dropped"
    await check(engine, gives="name", reason=FinishReason.END_TOKEN)
    assert len(endpoint.completions) == 2


async def test_it_is_tried_again_when_the_user_says_so(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    endpoint.fault = "broken"
    await engine.complete(REQUEST)
    endpoint.fault = ""
    engine.retry()
    await asyncio.sleep(0.1)
    await check(engine, gives="name", reason=FinishReason.END_TOKEN)
    assert engine.status().message == ""


async def test_what_is_stopped_stays_so_until_it_is_wanted(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    engine = await connect(endpoint)
    engine.stop("enough")
    await check(engine, gives="", reason=FinishReason.UNAVAILABLE)
    assert engine.status().message == "enough"
    engine.retry()
    await asyncio.sleep(0.1)
    await check(engine, gives="name", reason=FinishReason.END_TOKEN)


async def test_a_restart_asks_anew_what_it_can_do(endpoint: FakeEndpoint, connect: Opening) -> None:
    engine = await connect(endpoint)
    num_asked = len(endpoint.asked)
    engine.restart()
    assert (await engine.wait_ready()).state is EngineState.READY
    assert len(endpoint.asked) - num_asked == 5


async def test_a_token_goes_to_its_endpoint(endpoint: FakeEndpoint, connect: Opening) -> None:
    endpoint.token = "let-me-in"
    engine = await connect(endpoint)
    assert engine.status().state is EngineState.FAILED
    file = token_file(Endpoint.parse(endpoint.url))
    file.write_text("let-me-in", "utf-8")
    file.chmod(0o600)
    await check(await connect(endpoint), gives="name", reason=FinishReason.END_TOKEN)


async def test_a_token_that_others_can_read_is_not_sent(
    endpoint: FakeEndpoint, connect: Opening
) -> None:
    file = token_file(Endpoint.parse(endpoint.url))
    file.parent.mkdir(parents=True)
    file.write_text("let-me-in", "utf-8")
    file.chmod(0o644)
    engine = await connect(endpoint)
    assert (
        engine.status().message
        == f"{file} can be read by others; `chmod 600` it, or make it your own"
    )
    assert endpoint.asked == []


async def test_no_variable_sends_us_elsewhere(
    endpoint: FakeEndpoint, connect: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace's tools may set them."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await check(await connect(endpoint), gives="name", reason=FinishReason.END_TOKEN)


def self_signed(folder: Path) -> ssl.SSLContext:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject)
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
async def test_a_certificate_that_is_not_trusted_is_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = self_signed(tmp_path)
    # a workspace's tools may set it
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    endpoint = await FakeEndpoint().start(tls)
    engine = RemoteEngine(RemoteOptions(url=f"https://127.0.0.1:{endpoint.port}"))
    status = await engine.wait_ready()
    await engine.close()
    await endpoint.stop()
    assert status.state is EngineState.FAILED
    assert "its certificate is not trusted, or it does not speak TLS" in status.message
    assert endpoint.asked == []


@pytest.mark.parametrize("url", ["ftp://a", "a", "https://u:p@a"])
def test_no_engine_is_opened_for_what_is_no_address(url: str) -> None:
    with pytest.raises(RemoteError):
        RemoteEngine(RemoteOptions(url=url))
