"""`inkling serve --cluster` as a process: two replicas on a Ray of its own.

Nothing here imports ray.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from msgspec.structs import replace

from inference.package.manifest import read_manifest, write_manifest
from tests.support.service_process import (
    PATIENCE_SECONDS,
    ServiceProcess,
    environment,
    run_inkling,
)

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.slow]

FILL = "/v1/completions"
NUM_REPLICAS = 2
MAX_WAITING, MAX_QUEUED = 2, 2
FLEET = (
    *("--cluster", "--replicas", str(NUM_REPLICAS), "--cpus", "0.5"),
    *("--max-waiting", str(MAX_WAITING), "--max-queued", str(MAX_QUEUED)),
)
EMBEDDED = Path(__file__).parents[2] / "inference" / "default_model"
OURS = {"language": "python", "deadline_ms": 60_000}
HOLES = (
    ("class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.", "\n"),
    ("import os\n\n\ndef size_of(path):\n    return ", "\n\n\nprint(size_of('a'))\n"),
    ("for name in names:\n    ", "\n"),
    ("def first(items):\n    if not items:\n        ", "\n    return items[0]\n"),
    ("with open(path) as file:\n    text = file.", "\n"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("cluster"), *FLEET) as service:
        yield service
        below = psutil.Process(service.process.pid).children(recursive=True)
    assert not psutil.wait_procs(below, PATIENCE_SECONDS)[1]  # no process of Ray outlives it
    assert "Traceback" not in service.errors.read_text()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("alone")) as service:
        yield service


def check(
    service: ServiceProcess, status: int, headers: dict[str, str] | None = None, path: str = FILL
) -> httpx2.Response:
    """Send one good request, which is answered with this status."""
    body = {"prompt": "x = ", "inkling": OURS}
    response = service.client.post(path, json=body, headers=headers)
    assert response.status_code == status, response.text
    return response


def page(service: ServiceProcess) -> str:
    return httpx2.get(service.metrics_address).text


def ready(service: ServiceProcess) -> set[str]:
    return set(re.findall(r'inkling_engine_ready\{replica="(\w+)"\} 1\.0', page(service)))


def replica_processes(service: ServiceProcess) -> list[psutil.Process]:
    below = psutil.Process(service.process.pid).children(recursive=True)
    return [one for one in below if one.cmdline()[:1] and "ServeReplica" in one.cmdline()[0]]


def test_the_same_is_written_as_by_one_process(
    cluster: ServiceProcess, alone: ServiceProcess
) -> None:
    texts = list[str]()
    for prefix, suffix in HOLES:
        hole = {"prompt": prefix, "suffix": suffix, "inkling": OURS}
        answers = [one.client.post(FILL, json=hole).json() for one in (alone, cluster)]
        assert answers[0]["choices"] == answers[1]["choices"]
        assert answers[0]["model"] == answers[1]["model"]
        texts.append(answers[0]["choices"][0]["text"])
        before, _, line = prefix.rpartition("\n")
        infill = {"input_prefix": f"{before}\n", "prompt": line, "input_suffix": suffix}
        contents = [
            one.client.post("/infill", json={**infill, "inkling": OURS}).json()["content"]
            for one in (alone, cluster)
        ]
        assert contents == [texts[-1]] * 2
    assert all(texts)


def test_a_stream_and_the_other_routes_are_answered_too(cluster: ServiceProcess) -> None:
    streamed = cluster.client.post(FILL, json={"prompt": "x = ", "stream": True}).text
    assert streamed.endswith("data: [DONE]\n\n")
    assert cluster.client.get("/health").json() == {"status": "ok"}
    assert cluster.client.get("/v1/models").json()["data"][0]["id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "192.0.2.7:8012"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_pages_and_foreign_names_are_not_answered(
    cluster: ServiceProcess, headers: dict[str, str]
) -> None:
    check(cluster, 403, headers)


@pytest.mark.parametrize("path", ["/metrics", "/v1//completions", "/v1/%63ompletions", "/-/x"])
def test_there_is_nothing_else(cluster: ServiceProcess, path: str) -> None:
    check(cluster, 404, path=path)


def test_what_is_too_large_is_refused(cluster: ServiceProcess) -> None:
    response = cluster.client.post(FILL, json={"prompt": "x" * (2 << 20)})
    assert response.status_code == 413


def test_requests_of_a_session_go_to_one_replica(cluster: ServiceProcess) -> None:
    """The second finds what the first had read, whichever replica that was."""
    for session in range(12):
        text = "".join(f"value_{session}_{number} = {number}\n" for number in range(40))
        known = [
            cluster.client.post(
                FILL, json={"prompt": text + word}, headers={"x-session-id": str(session)}
            ).json()["usage"]["prompt_tokens_details"]["cached_tokens"]
            for word in ("value", "value_")
        ]
        assert known[1] > 100 > known[0]
    names = ready(cluster)
    assert len(names) == NUM_REPLICAS
    assert all(cluster.count("inkling_requests_total", replica=name) for name in names)


def test_beyond_the_queue_requests_are_refused_at_once(cluster: ServiceProcess) -> None:
    def fill(number: int) -> httpx2.Response:
        prompt = f"values_{number} = [\n" + f"    {number},\n" * 3000
        body = {"prompt": prompt, "max_tokens": 512, "inkling": OURS}
        return httpx2.post(f"{cluster.address}{FILL}", json=body, timeout=PATIENCE_SECONDS)

    most = NUM_REPLICAS * MAX_WAITING + MAX_QUEUED
    with ThreadPoolExecutor(4 * most) as pool:
        responses = list(pool.map(fill, range(4 * most)))
    refused = [one for one in responses if one.status_code != 200]
    assert len(responses) - len(refused) >= NUM_REPLICAS
    assert refused
    for response in refused:
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
    check(cluster, 200)


def test_a_replica_that_dies_costs_no_more_than_what_it_was_at(cluster: ServiceProcess) -> None:
    """Others answer at once, and another one takes its place."""
    num_clients, statuses, ended = 2, list[int](), threading.Event()

    def ask(number: int) -> None:
        with httpx2.Client(base_url=cluster.address, timeout=PATIENCE_SECONDS) as client:
            while not ended.is_set():
                body = {"prompt": f"x_{number}_{len(statuses)} = ", "inkling": OURS}
                try:
                    statuses.append(client.post(FILL, json=body).status_code)
                except httpx2.HTTPError:
                    statuses.append(0)

    before = ready(cluster)
    assert len(before) == NUM_REPLICAS
    with ThreadPoolExecutor(num_clients) as pool:
        running = [pool.submit(ask, number) for number in range(num_clients)]
        try:
            until(lambda: len(statuses) > 20)
            victim = replica_processes(cluster)[0]
            victim.send_signal(signal.SIGKILL)
            at_kill = len(statuses)
            until(lambda: len(statuses) > at_kill + 20)
            until(lambda: len(ready(cluster)) == NUM_REPLICAS and ready(cluster) != before)
        finally:
            ended.set()
    for one in running:
        one.result()
    assert sum(status != 200 for status in statuses) <= num_clients, statuses
    assert statuses[-1] == 200


def test_tokens_let_in_and_out_without_a_restart(cluster: ServiceProcess) -> None:
    data = cluster.errors.parent
    token = run_inkling(data, "token", "add", "ann").stdout.strip()
    bearing = {"Authorization": f"Bearer {token}"}
    for _ in range(4 * NUM_REPLICAS):  # some of them at each
        check(cluster, 401)
        check(cluster, 401, {"Authorization": "Bearer inkling_guessed"})
        check(cluster, 200, bearing)
    assert run_inkling(data, "token", "revoke", "ann").returncode == 0
    run_inkling(data, "token", "add", "bob")  # as long as anybody has one, one is needed
    check(cluster, 401, bearing)


def test_nothing_that_was_sent_is_written_down(cluster: ServiceProcess) -> None:
    """Neither by us nor by Ray, which has a folder of logs for each session."""
    canary = "canary_in_a_prompt"
    body = {"prompt": f"{canary} = ", "user": canary}
    for content in (json.dumps(body).encode(), canary.encode()):
        cluster.client.post(FILL, content=content, headers={"x-session-id": canary})
    below = psutil.Process(cluster.process.pid).children(recursive=True)
    lines = " ".join(word for one in below for word in one.cmdline())
    folder = re.search(r"(/\S*?/session_\d[^/\s]*)", lines)
    assert folder is not None
    files = [cluster.errors, *(Path(folder[1]) / "logs").rglob("*")]
    assert len(files) > 10
    assert not any(canary.encode() in one.read_bytes() for one in files if one.is_file())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--replicas", "9999999"), "Invalid value"),
        (("--replicas", "1024"), "replicas want 1024 CPU"),
        (("--replicas", "3", "--max-replicas", "2"), "max_replicas is less than replicas"),
        (("--device", "cuda"), "gpus is 0"),
        (("--model", "no-such"), "no model no-such"),
    ],
    ids=str,
)
def test_what_it_cannot_be(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run_inkling(tmp_path, "serve", "--cluster", "--port", "0", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_another_model_takes_over_without_a_failure(tmp_path: Path) -> None:
    """Every request is answered; where the other model does not come up, by the one before."""
    other, broken = tmp_path / "other", tmp_path / "broken"
    shutil.copytree(EMBEDDED, other)
    write_manifest(replace(read_manifest(other), name="other"), other)
    told = told_by("tests.support.rolling_update", str(broken), str(other), data=tmp_path)
    assert told["came_up"] == [False, True]
    assert set(told["statuses"]) == {"200"}, told["statuses"]
    # Where nothing stood in for a replica that was ended, some would have waited all that time.
    assert told["longest"] < told["seconds"][0] / 2, told
    assert [told["models"][0], told["models"][-1]] == ["inkling-base", "other"]


def test_a_node_that_is_lost_costs_nothing_at_another(tmp_path: Path) -> None:
    told = told_by("tests.support.node_loss", data=tmp_path)
    assert told["ready"] == [2, 1, 2]
    failed = sum(number for status, number in told["statuses"].items() if status != "200")
    assert failed <= 1, told["statuses"]  # what the lost replica was at


def told_by(module: str, *arguments: str, data: Path) -> dict[str, Any]:
    """Return the last line of a program with a Ray of its own."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        check=False,
        env=environment(data),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
