"""The command `inkling playground`: a page to try a model in, and to show Inkling to somebody."""

import asyncio
import contextlib
import signal
import webbrowser
from typing import TYPE_CHECKING

import click

from inference import Dissector, EngineOptions, model_names, open_engine
from inkling.clients import client_folder
from lsp_server.insight.logs import configure_logging

if TYPE_CHECKING:
    from lsp_server.playground.web import Playground
    from lsp_server.server import InklingServer


@click.command()
@click.option(
    "--model",
    envvar="INKLING_MODEL",
    help="A name of `inkling model list`, or a package's folder; the page can choose another.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any that is free.")
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
def playground(model: str | None, port: int, *, no_browser: bool) -> None:
    """Try a model in the browser, on this machine alone."""
    from lsp_server.cli import create_server
    from lsp_server.playground.look import look_feature
    from lsp_server.playground.site import read_site
    from lsp_server.playground.web import Playground

    configure_logging("warning")
    pages, dissector = read_site(client_folder("playground")), Dissector()

    def begin(name: str) -> "InklingServer":
        """Begin a session: its engine is its own, and nothing of it is written to the journal."""
        server = create_server(open_engine(EngineOptions(model=name)))
        server.register([look_feature(dissector, name)])
        return server

    page = Playground(pages, lambda: _models(model), begin)
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(dissector):
        asyncio.run(_serve(page, port, opens_browser=not no_browser))


def _models(named: str | None) -> list[str]:
    return list(dict.fromkeys([*([named] if named else []), *model_names()]))


async def _serve(page: "Playground", port: int, *, opens_browser: bool) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with page.opened(port) as door:
        click.echo(f"The playground, until Ctrl+C: {door.address}")
        click.echo("The address lets in one browser tab, once.")
        if opens_browser:
            webbrowser.open(door.address)
        await stopped.wait()
