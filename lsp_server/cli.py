"""The command `inkling lsp`: arguments, logging, a server on the standard streams.

LSP's types take half of the time until `initialize` is answered. Here they are imported late, so
that `--help` and a wrong option do not wait for them, and with garbage collection paused.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import click

from inference import Device, Engine, EngineOptions, RemoteOptions, open_engine
from lsp_server.insight.journal import Journal, open_journal
from lsp_server.insight.logs import configure_logging
from lsp_server.remote import remote_options
from lsp_server.transport import take_standard_streams

if TYPE_CHECKING:
    from lsp_server.server import InklingServer

LEVELS: Final = ("debug", "info", "warning", "error")


def create_server(engine: Engine, journal: Journal | None = None) -> "InklingServer":
    """Return a server with every feature; it owns `engine` from here on.

    Without a journal it remembers the last requests and writes nothing.
    """
    from lsp_server.features import register
    from lsp_server.server import InklingServer

    server = InklingServer(engine, journal or Journal())
    register(server)
    return server


def run(server: "InklingServer", *, client_process_id: int | None = None) -> int:
    """Serve the standard streams until the client leaves; return the exit code."""
    read_fd, write_fd = take_standard_streams()
    # LSP's types are so many objects that one full collection stops the loop for 70 ms (measured).
    gc.freeze()
    gc.enable()
    return asyncio.run(_serve(server, read_fd, write_fd, client_process_id))


def _refuse(_context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            f"inkling speaks LSP over stdio only; start it without {parameter.opts[0]}={value}"
        )


@click.command()
@click.option("--stdio", is_flag=True, expose_value=False, help="Accepted: it is the only way.")
@click.option("--clientProcessId", "client_process_id", type=int, help="Leave when it is gone.")
@click.option(
    "--model",
    envvar="INKLING_MODEL",
    help="A name of `inkling model list`, or a package's folder; default the one in use.",
)
@click.option("--device", type=click.Choice(get_args(Device)), default="cpu", show_default=True)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="warning",
    envvar="INKLING_LOG",
    show_default=True,
)
@click.option(
    "--log-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Log to this file as well; it is kept below 25 MB.",
)
@click.option(
    "--share/--no-share",
    "is_shared",
    default=True,
    envvar="INKLING_SHARE",
    show_default=True,
    help="One engine for all editors of this user, or one for this editor alone.",
)
@remote_options
@click.option("--pipe", hidden=True, expose_value=False, callback=_refuse)
@click.option("--socket", hidden=True, expose_value=False, callback=_refuse)
def lsp(  # noqa: PLR0913 - one parameter an option
    client_process_id: int | None,
    model: str | None,
    device: Device,
    log_level: str,
    log_file: Path | None,
    remote: RemoteOptions | None,
    *,
    is_shared: bool,
) -> None:
    """Run the language server over stdio."""
    configure_logging(log_level, log_file)
    gc.disable()  # starting makes no garbage; looking for it took 60 of 440 ms (measured)
    engine = open_engine(EngineOptions(model=model, device=device, remote=remote, shared=is_shared))
    server = create_server(engine, open_journal())
    sys.exit(run(server, client_process_id=client_process_id))


async def _serve(
    server: "InklingServer", read_fd: int, write_fd: int, client_process_id: int | None
) -> int:
    from lsp_server.server import serve

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, server.lifecycle.end)
    server.lifecycle.follow(os.getppid())
    if client_process_id is not None:
        server.lifecycle.follow(client_process_id)
    return await serve(server, read_fd, write_fd)
