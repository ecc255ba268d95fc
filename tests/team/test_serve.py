"""`inkling serve` as a process, with the model that ships: what it says, does and leaves behind."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from inference import Completion, CompletionRequest, EngineOptions, open_engine
from tests.support.processes import children_named
from tests.support.service_process import (
    PATIENCE_SECONDS,
    ServiceProcess,
    run_inkling,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HOLES = (
    ("class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.", "\n"),
    ("import os\n\n\ndef size_of(path):\n    return ", "\n\n\nprint(size_of('a'))\n"),
    ("for name in names:\n    ", "\n"),
    ("def first(items):\n    if not items:\n        ", "\n    return items[0]\n"),
    ("with open(path) as file:\n    text = file.", "\n"),
)
CANARY = "canary_in_a_prompt"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("serve")) as service:
        yield service


@pytest.fixture(scope="module")
def expected() -> list[Completion]:
    """What the engine writes where nothing stands between it and the question."""

    async def fill() -> list[Completion]:
        engine = open_engine(EngineOptions(model="embedded"))
        await engine.wait_ready()
        try:
            return [
                await engine.complete(
                    CompletionRequest(
                        document=str(number),
                        prefix=prefix,
                        suffix=suffix,
                        language="python",
                        deadline_ms=60_000,
                    )
                )
                for number, (prefix, suffix) in enumerate(HOLES)
            ]
        finally:
            await engine.close()

    return asyncio.run(fill())


def fill(service: ServiceProcess, prompt: str, suffix: str = "", **fields: object) -> Any:
    ours = {"language": "python", "deadline_ms": 60_000}
    body = {"prompt": prompt, "suffix": suffix, "inkling": ours, **fields}
    response = service.client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_the_same_is_written_as_without_it(
    service: ServiceProcess, expected: list[Completion]
) -> None:
    assert any(completion.text for completion in expected)
    for hole, completion in zip(HOLES, expected, strict=True):
        answer = fill(service, *hole)
        assert answer["choices"][0]["text"] == completion.text
        assert answer["usage"]["completion_tokens"] == completion.tokens.generated


def test_infill_writes_it_too(service: ServiceProcess, expected: list[Completion]) -> None:
    for (prefix, suffix), completion in zip(HOLES, expected, strict=True):
        before, _, line = prefix.rpartition("\n")
        body = {
            "input_prefix": f"{before}\n",
            "prompt": line,
            "input_suffix": suffix,
            "inkling": {"language": "python", "deadline_ms": 60_000},
        }
        answer = service.client.post("/infill", json=body).json()
        assert answer["content"] == completion.text


def test_the_next_request_of_a_session_reads_on(service: ServiceProcess) -> None:
    text = "".join(f"value_{number} = {number}\n" for number in range(40))
    headers = {"x-session-id": "one"}
    reused = [
        service.client.post("/v1/completions", json={"prompt": prompt}, headers=headers).json()[
            "usage"
        ]["prompt_tokens_details"]["cached_tokens"]
        for prompt in (f"{text}value", f"{text}value_")
    ]
    assert reused[1] > 100 > reused[0]


def test_a_closed_connection_stops_the_real_engine(service: ServiceProcess) -> None:
    """The one thread of the engine is free at once for whoever comes next."""
    body = json.dumps({"prompt": "x = [\n" + "    1,\n" * 3000, "max_tokens": 512}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    left = service.count("inkling_requests_total", outcome="left")
    for number in range(20):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(head.encode() + body)
            time.sleep(0.01 + 0.002 * number)
    fill(service, "y = ")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while service.count("inkling_requests_total", outcome="left") < left + 15:
        assert time.monotonic() < deadline
    assert service.count("inkling_requests_waiting") == 0


def test_metrics_are_on_a_port_of_their_own(service: ServiceProcess) -> None:
    assert service.client.get("/metrics").status_code == 404
    assert service.count("inkling_engine_ready") == 1
    assert service.count("inkling_tokens_total", kind="written") > 0


def test_nothing_that_was_sent_is_written_down(service: ServiceProcess, tmp_path: Path) -> None:
    fill(service, f"{CANARY} = ", user=CANARY)
    service.client.post("/v1/completions", content=CANARY)
    folder = service.errors.parent
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert service.errors in files
    assert not any(CANARY.encode() in path.read_bytes() for path in files)


def test_a_signal_ends_it_and_its_engine(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path) as service:
        hosts = children_named("inference.serving.host", service.process.pid)
        assert hosts
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_SECONDS) == 0
        assert not psutil.wait_procs(hosts, 5)[1]


def check_refused(data: Path, *arguments: str, says: str) -> None:
    done = run_inkling(data, "serve", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_others_are_not_let_in_without_tokens(tmp_path: Path) -> None:
    check_refused(tmp_path, "--host", "0.0.0.0", "--port", "0", says="nobody has a token")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    check_refused(tmp_path, "--model", "no-such", "--port", "0", says="no model no-such")


def test_a_port_that_is_taken(tmp_path: Path, service: ServiceProcess) -> None:
    check_refused(tmp_path, "--port", str(service.port), says="cannot be had")


def test_a_certificate_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    path.write_text("x")
    check_refused(tmp_path, "--tls-certificate", str(path), says="go together")
    pair = ("--tls-certificate", str(path), "--tls-key", str(path))
    check_refused(tmp_path, *pair, "--port", "0", says="no certificate and its key")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_with_a_certificate_it_speaks_tls_alone(tmp_path: Path) -> None:
    certificate, key = str(tmp_path / "a.pem"), str(tmp_path / "a.key")
    kind = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        ["openssl", "req", *kind.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    pair = ("--tls-certificate", certificate, "--tls-key", key)
    with ServiceProcess(tmp_path, *pair, is_secure=True) as service:
        assert service.address.startswith("https://")
        assert fill(service, "x = ")["object"] == "text_completion"
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(service.address.replace("https", "http") + "/health")


def test_tokens_of_the_command_let_in(tmp_path: Path) -> None:
    token = run_inkling(tmp_path, "token", "add", "ann").stdout.strip()
    with ServiceProcess(tmp_path) as service:
        body = {"prompt": "x = "}
        assert service.client.post("/v1/completions", json=body).status_code == 401
        service.client.headers["Authorization"] = f"Bearer {token}"
        assert service.client.post("/v1/completions", json=body).status_code == 200
        assert run_inkling(tmp_path, "token", "revoke", "ann").returncode == 0
        assert service.client.post("/v1/completions", json=body).status_code == 401
