"""The language server with a scripted engine, for tests that drive it from another process.

Beside LSP it answers `scripted/play` (a Script), `scripted/release` and `scripted/log`.
Run: python -m tests.support.scripted_server [--status FAILED_MESSAGE] [--log-level LEVEL]
    [--log-file FILE]
"""

import sys
import time
from asyncio.events import Handle
from pathlib import Path

import click
import msgspec

from inference import EngineState, EngineStatus
from lsp_server.cli import create_server, run
from lsp_server.insight.journal import open_journal
from lsp_server.insight.logs import configure_logging
from lsp_server.server import InklingServer
from tests.support.scripted_engine import Script, ScriptedEngine


class LoopWatch:
    """The longest that one callback of the event loop kept its thread's processor."""

    def __init__(self) -> None:
        self.slowest_ms = 0.0

    def install(self) -> None:
        original = Handle._run

        def timed(handle: Handle) -> None:
            start = time.thread_time()
            original(handle)
            self.slowest_ms = max(self.slowest_ms, (time.thread_time() - start) * 1000)

        Handle._run = timed


def add_script_methods(server: InklingServer, engine: ScriptedEngine, watch: LoopWatch) -> None:
    async def play(ls: InklingServer, params: object) -> None:
        engine.play(msgspec.convert(params._asdict(), Script))
        watch.slowest_ms = 0.0

    async def release(ls: InklingServer, params: object) -> None:
        engine.release()

    async def log(ls: InklingServer, params: object) -> dict[str, object]:
        return {**msgspec.to_builtins(engine.log), "slowest_callback_ms": watch.slowest_ms}

    for name, handler in (("play", play), ("release", release), ("log", log)):
        server.feature(f"scripted/{name}")(handler)


@click.command()
@click.option("--status", default="", help="Be an engine that failed with this message.")
@click.option("--log-level", default="debug")
@click.option("--log-file", default=None, type=click.Path(path_type=Path))
def main(status: str, log_level: str, log_file: Path | None) -> None:
    configure_logging(log_level, log_file)
    failed = EngineStatus(state=EngineState.FAILED, message=status)
    engine = ScriptedEngine(status=failed if status else None)
    server = create_server(engine, open_journal())
    watch = LoopWatch()
    watch.install()
    add_script_methods(server, engine, watch)
    sys.exit(run(server))


if __name__ == "__main__":
    main()
