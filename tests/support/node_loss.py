"""Take one of two nodes away while somebody asks at the other, and give it back.

    python -m tests.support.node_loss

Both nodes are this machine, each with a CPU, a replica and a proxy of its own. The last line is one
JSON object: how often each status came, and how many replicas were ready before, without and again.
"""

import asyncio
import json
import os
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import httpx2

from team.cluster import Where, deployed
from team.fleet import FleetMetrics, FleetSettings
from team.server import listen
from team.settings import ServiceSettings

PERIOD_SECONDS = 0.05
PATIENCE_SECONDS = 60.0


def main() -> None:
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_AUTO_CONNECT="0")
    with listen("127.0.0.1", 0) as first, listen("127.0.0.1", 0) as second:
        port, other_port = first.getsockname()[1], second.getsockname()[1]
    os.environ["RAY_SERVE_WORKER_PROXY_HTTP_PORT"] = str(other_port)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost = cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    statuses, ended = Counter[int](), threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while not ended.wait(PERIOD_SECONDS):
                body = {"prompt": f"x_{statuses.total()} = ", "max_tokens": 4}
                statuses[client.post("/v1/completions", json=body).status_code] += 1

    fleet = FleetSettings(model="embedded", cpus=0.9, replicas=2)
    counts = list[int]()
    with deployed(fleet, ServiceSettings(), Where(host="127.0.0.1", port=port)) as metrics:
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            counts.append(num_ready(metrics))
            until(lambda: statuses.total() > 20)
            cluster.remove_node(lost, allow_graceful=False)
            until(lambda: num_ready(metrics) == 1)
            counts.append(1)
            seen = statuses.total()
            until(lambda: statuses.total() > seen + 20)
            cluster.add_node(num_cpus=1)
            until(lambda: num_ready(metrics) == 2)
            counts.append(2)
        finally:
            ended.set()
            asking.join()
    cluster.shutdown()
    sys.stdout.write(f"{json.dumps({'statuses': statuses, 'ready': counts})}\n")


def num_ready(metrics: FleetMetrics) -> int:
    page = asyncio.run(metrics.page()).decode()
    lines = [line for line in page.splitlines() if line.startswith("inkling_engine_ready{")]
    return sum(line.endswith(" 1.0") for line in lines)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


if __name__ == "__main__":
    main()
