"""Have other models take the place of the one that ships, while somebody asks 20 times a second.

    python -m tests.support.rolling_update FOLDER...

The last line is one JSON object: how often each status came, which model answered, in order, how
long the slowest answer took, which of the folders are models that came up, and how long each took.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence

import httpx2

from team.cluster import APPLICATION, Where, bound, deployed
from team.fleet import FleetSettings
from team.server import listen
from team.settings import ServiceSettings

SECONDS_BEHIND = 2.0
PERIOD_SECONDS = 0.05


def main(folders: Sequence[str]) -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    first, *others = [FleetSettings(model=model, cpus=0.4) for model in ("embedded", *folders)]
    came_up, seconds, waits = list[bool](), list[float](), list[float]()
    statuses, models, ended = Counter[int](), list[str](), threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while not ended.wait(PERIOD_SECONDS):
                body = {"prompt": f"x_{statuses.total()} = ", "max_tokens": 4}
                began = time.monotonic()
                response = client.post("/v1/completions", json=body)
                waits.append(time.monotonic() - began)
                statuses[response.status_code] += 1
                if response.status_code == 200:
                    models.append(response.json()["model"])

    with deployed(first, ServiceSettings(), Where(host="127.0.0.1", port=port)):
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for other in others:
                began = time.monotonic()
                came_up.append(is_up(other))
                seconds.append(time.monotonic() - began)
            time.sleep(SECONDS_BEHIND)
        finally:
            ended.set()
            asking.join()
    told = {"statuses": statuses, "models": models, "longest": max(waits)}
    told |= {"came_up": came_up, "seconds": seconds}
    sys.stdout.write(f"{json.dumps(told)}\n")


def is_up(fleet: FleetSettings) -> bool:
    from ray import serve  # not before: it takes Ray's token from the environment once

    try:
        serve.run(bound(fleet, ServiceSettings()), name=APPLICATION)
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
