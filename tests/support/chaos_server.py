"""The language server over a real engine host, which writes "ready" into every hole.

Its host may be killed and stopped as often as a test likes: each time counts as the first, and a
host that is silent for two seconds is given up.
Run: python -m tests.support.chaos_server
"""

import os
import sys

import psutil

from inference.serving.patience import Patience
from inference.serving.supervised import SupervisedEngine
from lsp_server.cli import create_server, run
from lsp_server.insight.journal import open_journal
from lsp_server.insight.logs import configure_logging
from tests.support import fake_host_scripted

COMMAND = (sys.executable, "-m", "tests.support.chaos_server")
PATIENCE = Patience(heartbeat_s=0.25, silent_beats=8, max_restarts=10_000, longest_delay_s=0.2)


def hosts_of(server_process_id: int) -> list[psutil.Process]:
    """Return the engine hosts that a server has started, also where it has gone."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if _mark(server_process_id) in (process.info["cmdline"] or ())
    ]


def _mark(server_process_id: int) -> str:
    return f"--parent={server_process_id}"


def main() -> None:
    configure_logging("error", None)
    engine = SupervisedEngine(
        (*fake_host_scripted.COMMAND, _mark(os.getpid())),
        patience=PATIENCE,
        environment=fake_host_scripted.ENVIRONMENT,
    )
    sys.exit(run(create_server(engine, open_journal())))


if __name__ == "__main__":
    main()
