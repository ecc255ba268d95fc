"""`inkling serve` as its users start it, and a client that sends it bytes as they are written."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2

PATIENCE_SECONDS = 60.0
COMMAND = [sys.executable, "-m", "inkling"]
ANYWHERE = ["--port", "0", "--metrics-port", "0", "--json"]


class ServiceProcess:
    """Use it as a context: it is ready within, and has ended behind."""

    def __init__(self, data: Path, *arguments: str, is_secure: bool = False) -> None:
        self._data, self._arguments, self._is_secure = data, arguments, is_secure
        self.errors = data / "stderr"

    def __enter__(self) -> "ServiceProcess":
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", *ANYWHERE, "--model", "embedded", *self._arguments],
                env=environment(self._data),
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        told = json.loads(line)
        self.address, self.metrics_address = told["address"], told["metrics"]
        self.port = int(self.address.rpartition(":")[2])
        self.client = httpx2.Client(
            base_url=self.address, timeout=PATIENCE_SECONDS, verify=not self._is_secure
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.client.get("/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def count(self, name: str, **labels: str) -> float:
        """Return what is counted under a name, as Prometheus would read it; 0 where nothing is."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        total = 0.0
        for line in httpx2.get(self.metrics_address).text.splitlines():
            match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if match and wanted <= set((match[1] or "").split(",")):
                total += float(match[2])
        return total


def environment(data: Path) -> dict[str, str]:
    """Return this process's environment with a data folder of the test's own."""
    return {**os.environ, "XDG_DATA_HOME": str(data)}


def run_inkling(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        env=environment(data),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


async def exchange(port: int, pieces: Sequence[bytes | float]) -> int | None:
    """Send bytes, with pauses in seconds between them; return the first answer's status.

    None is a connection that was closed without one.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for piece in pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                writer.write(piece)
                await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await reader.readline()
            while head.startswith(b"HTTP/1.1 1"):  # it goes on: the answer is still to come
                await reader.readline()
                head = await reader.readline()
    except ConnectionError:
        head = b""
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        writer.close()
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    return int(match[1]) if match else None
