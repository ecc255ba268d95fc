"""What Ray Serve costs beside `inkling serve` alone: `python -m benchmarks.cluster`.

Both services run at the same time, with one engine each of the same number of threads, and are
asked the same, in turns: so many clients send so many requests to the one, then to the other.

    models       GET /v1/models, which asks no engine: the way through the service alone
    completion   POST /v1/completions in a session of the client's, 8 tokens

A client's requests follow one another, each under a token of its own, as those of somebody who
types do. `added` is the difference of the medians, in milliseconds. With `--haproxy` HAProxy stands
where Ray's proxy does else. Ray comes with `make .venv/installed-cluster`. The last line is one
JSON object.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Final

import click
import httpx2
import psutil
from rich.progress import Progress

from benchmarks.report import print_json, print_report, summary

COMMAND: Final = (sys.executable, "-m", "inkling")
SERVICES: Final = ("alone", "cluster")
KINDS: Final = ("models", "completion")
MAX_WAITING: Final = "64"
PATIENCE_SECONDS: Final = 60.0
LINES: Final = tuple(f"total_{number} = total + {number}\n" for number in range(40))

Samples = dict[tuple[int, str, str], list[float]]


@click.command()
@click.option("--clients", multiple=True, type=int, default=(1, 8), show_default=True)
@click.option("--requests", default=100, show_default=True, help="Of each client, in each round.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--haproxy", is_flag=True, help="HAProxy in the place of Ray's own proxy.")
def main(clients: tuple[int, ...], requests: int, rounds: int, *, haproxy: bool) -> None:
    with tempfile.TemporaryDirectory() as data, contextlib.ExitStack() as stack:
        environment = {**os.environ, "XDG_DATA_HOME": data}
        if haproxy:
            environment["RAY_SERVE_ENABLE_HA_PROXY"] = "1"
        tokens = [_token(environment, f"client{number}") for number in range(max(clients))]
        cores = psutil.cpu_count(logical=False) or 1
        more = {"alone": (), "cluster": ("--cluster", "--cpus", str(cores))}
        addresses = {
            name: stack.enter_context(_service(environment, *more[name])) for name in SERVICES
        }
        samples, seconds = _measured(addresses, tokens, clients, requests, rounds)
    _report(samples, seconds, {"requests": requests, "rounds": rounds, "haproxy": haproxy})


def _token(environment: Mapping[str, str], name: str) -> str:
    command = [*COMMAND, "token", "add", name, "--per-minute", "0"]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return done.stdout.strip()


@contextlib.contextmanager
def _service(environment: Mapping[str, str], *more: str) -> Generator[str]:
    """Give the address of a service that is ready."""
    command = [*COMMAND, "serve", "--port", "0", "--json", "--max-waiting", MAX_WAITING, *more]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise click.ClickException(f"{' '.join(command[2:])} did not start")
            address: str = json.loads(line)["address"]
            deadline = time.monotonic() + PATIENCE_SECONDS
            while httpx2.get(f"{address}/ready").status_code != 200:
                if time.monotonic() > deadline:
                    raise click.ClickException("the model was not loaded in time")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def _measured(
    addresses: Mapping[str, str],
    tokens: Sequence[str],
    clients: Sequence[int],
    num_requests: int,
    num_rounds: int,
) -> tuple[Samples, dict[tuple[int, str, str], float]]:
    """Return milliseconds of requests, and the seconds that all of them took together.

    What comes first in a round is by turns the one service and the other; the first round of all
    is for both to get warm, and is not kept.
    """
    samples, seconds = Samples(), dict[tuple[int, str, str], float]()
    with Progress() as progress:
        for number in progress.track(range(num_rounds + 1), description="asking"):
            for num_clients in clients:
                for kind in KINDS:
                    for name in SERVICES if number % 2 else SERVICES[::-1]:
                        asking = _ask(addresses[name], tokens[:num_clients], kind, num_requests)
                        took, found = asyncio.run(asking)
                        if number:
                            case = (num_clients, kind, name)
                            samples.setdefault(case, []).extend(found)
                            seconds[case] = seconds.get(case, 0.0) + took
    return samples, seconds


async def _ask(
    address: str, tokens: Sequence[str], kind: str, num_requests: int
) -> tuple[float, list[float]]:
    began = time.perf_counter()
    found = await asyncio.gather(*(_client(address, one, kind, num_requests) for one in tokens))
    return time.perf_counter() - began, [one for each in found for one in each]


async def _client(address: str, token: str, kind: str, num_requests: int) -> list[float]:
    headers = {"Authorization": f"Bearer {token}", "x-session-id": token[-8:]}
    found = list[float]()
    async with httpx2.AsyncClient(
        base_url=address, headers=headers, timeout=PATIENCE_SECONDS
    ) as client:
        for number in range(num_requests):
            prompt = "".join(LINES[: 1 + number % len(LINES)])
            began = time.perf_counter()
            if kind == "models":
                response = await client.get("/v1/models")
            else:
                body = {"prompt": prompt, "max_tokens": 8, "inkling": {"language": "python"}}
                response = await client.post("/v1/completions", json=body)
            found.append(1000 * (time.perf_counter() - began))
            response.raise_for_status()
    return found


def _report(
    samples: Samples, seconds: Mapping[tuple[int, str, str], float], how: Mapping[str, object]
) -> None:
    cases = dict[str, dict[str, object]]()
    rows = dict[str, list[str]]()
    for num_clients, kind, name in samples:
        case = cases.setdefault(f"{kind}, {num_clients} clients", {})
        found = samples[num_clients, kind, name]
        rate = round(len(found) / seconds[num_clients, kind, name], 1)
        case[name] = {**summary(found), "requests_a_second": rate}
        rows[f"{kind}, {num_clients} clients, {name}"] = [
            f"{summary(found)['median']:.2f}",
            f"{max(found):.1f}",
            f"{rate:.0f}",
        ]
        if all(service in case for service in SERVICES):
            alone, cluster = (
                summary(samples[num_clients, kind, service])["median"] for service in SERVICES
            )
            case["added"] = round(cluster - alone, 3)
    print_report("milliseconds", ["median", "max", "a second"], rows)
    print_json("cluster", {**how, "cases": cases})


if __name__ == "__main__":
    main()
