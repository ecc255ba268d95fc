"""`inkling serve`: the engine for a team, over HTTP; and `inkling token`: who may use it."""

import asyncio
import contextlib
import importlib.util
import socket
import time
from typing import TYPE_CHECKING, Final, get_args

import click
import msgspec
from rich.console import Console
from rich.table import Table

from inference import (
    Device,
    Engine,
    EngineOptions,
    EngineState,
    EngineUnavailableError,
    InklingError,
    is_loopback,
    open_engine,
)
from team.settings import LOOPBACK_NAMES, ServiceSettings
from team.tokens import TokenStore, tokens_file

if TYPE_CHECKING:
    from team.server import Served

LIBRARIES: Final = ("starlette", "uvicorn", "prometheus_client")
RAY: Final = "ray"


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command was told, as it was told."""

    host: str
    port: int
    names: tuple[str, ...]
    tls_certificate: str | None
    tls_key: str | None
    metrics_port: int | None
    max_waiting: int
    as_json: bool
    cluster: bool = False


FLEET: Final = ("replicas", "max_replicas", "cpus", "gpus", "max_queued")
"""What only --cluster takes, by the names of FleetSettings."""


@click.command()
@click.option(
    "--model",
    envvar="INKLING_MODEL",
    help="A name of `inkling model list`, or a package's folder; default the one in use.",
)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(get_args(Device)))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=8012, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--name", "names", multiple=True, help="Another name that requests come by, as through a proxy."
)
@click.option("--tls-certificate", type=click.Path(exists=True, dir_okay=False))
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Show /metrics there, to this machine alone. Default: nowhere.",
)
@click.option(
    "--max-waiting",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Requests that wait or run; others are refused at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one JSON object.")
@click.option("--cluster", is_flag=True, help="Several engines, on Ray Serve: docs/cluster.md.")
@click.option("--replicas", type=click.IntRange(1, 1024), help="Engines, with --cluster. [1]")
@click.option("--max-replicas", type=click.IntRange(1, 1024), help="As many when much is asked.")
@click.option("--cpus", type=click.FloatRange(0), help="CPUs of each engine. [1]")
@click.option("--gpus", type=click.FloatRange(0), help="GPUs of each engine, also parts. [0]")
@click.option("--max-queued", type=click.IntRange(0, 65_536), help="Beyond what engines take. [32]")
def serve(*, model: str | None, device: Device, **options: object) -> None:
    """Answer completions over HTTP, to this machine alone unless tokens are given out."""
    fleet = {name: options.pop(name) for name in FLEET}
    told = msgspec.convert(options, ServeOptions)
    _check_libraries(with_cluster=told.cluster)
    given = {name: value for name, value in fleet.items() if value is not None}
    if given and not told.cluster:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InklingError(f"{named}: for --cluster alone; add it, or leave these out")
    if (told.tls_certificate is None) != (told.tls_key is None):
        raise InklingError("--tls-certificate and --tls-key go together; give both")
    if told.cluster:
        _serve_cluster({"model": model, "device": device, **given}, told)
        return
    asyncio.run(_serve(open_engine(EngineOptions(model=model, device=device)), told))


async def _serve(engine: Engine, options: ServeOptions) -> None:
    from team.server import configure_logging, run

    configure_logging()
    try:
        all_served = _opened(engine, options)
        running = asyncio.create_task(run(all_served))
        loading = asyncio.create_task(engine.wait_ready())
        await asyncio.wait({running, loading}, return_when=asyncio.FIRST_COMPLETED)
        status = engine.status()
        if status.state is EngineState.FAILED:
            running.cancel()
            raise EngineUnavailableError(status.message)
        await running
    finally:
        await engine.close()


def _serve_cluster(fleet: dict[str, object], options: ServeOptions) -> None:
    from team import cluster
    from team.fleet import told
    from team.server import configure_logging, listen

    configure_logging()
    settings = settings_for(options)
    is_public = cluster.uses_haproxy()  # whose replicas are asked at every address of the machine
    if is_public and not settings.requires_token:
        raise InklingError(f"{cluster.HAPROXY}: others are let in, and nobody has a token")
    with contextlib.ExitStack() as stack:
        asked = listen(options.host, options.port)
        port = asked.getsockname()[1]
        asked.close()
        where = cluster.Where(
            host=options.host,
            port=port,
            tls_certificate=options.tls_certificate,
            tls_key=options.tls_key,
        )
        metrics_socket = None
        if options.metrics_port is not None:
            metrics_socket = stack.enter_context(listen("127.0.0.1", options.metrics_port))
        fleet_settings = told({**fleet, "max_waiting": options.max_waiting})
        metrics = stack.enter_context(cluster.deployed(fleet_settings, settings, where))
        ports = [port, *([metrics_socket.getsockname()[1]] if metrics_socket else [])]
        _say(options, settings, ports)
        asyncio.run(cluster.until_told_to_end(metrics, metrics_socket))


def _opened(engine: Engine, options: ServeOptions) -> "list[Served]":
    """Bind what is listened at, and say so. Raises InklingError."""
    from team.app import create_app
    from team.metrics import Metrics, metrics_app
    from team.server import Served, listen

    settings, metrics = settings_for(options), Metrics()
    served = [
        Served(
            create_app(engine, settings, metrics),
            listen(options.host, options.port),
            options.tls_certificate,
            options.tls_key,
        )
    ]
    if options.metrics_port is not None:
        app = metrics_app(metrics, ServiceSettings())
        served.append(Served(app, listen("127.0.0.1", options.metrics_port)))
    _say(options, settings, [one.socket.getsockname()[1] for one in served])
    return served


def settings_for(options: ServeOptions) -> ServiceSettings:
    """Return what the service allows. Raises InklingError: others are let in by tokens alone."""
    is_local, has_tokens = is_loopback(options.host), bool(_store().all())
    is_for_others = not is_local or bool(options.names)  # a name is what a proxy passes on
    if is_for_others and not has_tokens:
        where = options.names[0] if is_local else options.host
        raise InklingError(
            f"{where} can be reached by others, and nobody has a token; "
            "`inkling token add NAME` makes one, or leave out --host and --name"
        )
    own_names = frozenset[str]() if is_local else frozenset({options.host, socket.gethostname()})
    return ServiceSettings(
        hosts=frozenset(map(str.lower, LOOPBACK_NAMES | own_names | set(options.names))),
        takes_addresses=not is_local,
        tokens_file=tokens_file(),
        requires_token=is_for_others or has_tokens,
        max_waiting=options.max_waiting,
    )


def _say(options: ServeOptions, settings: ServiceSettings, ports: list[int]) -> None:
    scheme = "https" if options.tls_certificate else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{scheme}://{host}:{ports[0]}"
    metrics = f"http://127.0.0.1:{ports[1]}/metrics" if len(ports) > 1 else None
    if options.as_json:
        told = {"address": address, "metrics": metrics, "tokens": settings.requires_token}
        click.echo(msgspec.json.encode(told))
        return
    who = "whoever has a token" if settings.requires_token else "this machine alone"
    click.echo(f"Serving {who} at {address}, until Ctrl+C")
    if metrics:
        click.echo(f"Metrics at {metrics}")
    if not is_loopback(options.host) and scheme == "http":
        click.echo("Texts and tokens go unencrypted; --tls-certificate changes that", err=True)


def _check_libraries(*, with_cluster: bool) -> None:
    names, extras = (*LIBRARIES, RAY), "team,cluster"
    if not with_cluster:
        names, extras = LIBRARIES, "team"
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        named = ", ".join(missing)
        raise InklingError(
            f"{named} is not installed; `pip install 'inkling-lsp[{extras}]'` brings it"
        )


@click.group()
def token() -> None:
    """Say who may use the service of `inkling serve`."""


@token.command()
@click.argument("name")
@click.option(
    "--per-minute",
    default=600,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="Requests in a minute; 0 is no bound.",
)
@click.option(
    "--per-day",
    default=0,
    show_default=True,
    type=click.IntRange(0, 1_000_000_000),
    help="Requests in a day; 0 is no bound.",
)
def add(name: str, per_minute: int, per_day: int) -> None:
    """Make a token for NAME and show it, once."""
    click.echo(_store().add(name, per_minute=per_minute, per_day=per_day))
    click.echo("Nothing can show it again; its bearer sends it as a key of the API.", err=True)


@token.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Take back the token of NAME; a service that runs knows it with the next request."""
    _store().revoke(name)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_tokens(*, as_json: bool) -> None:
    """Show who has a token, and for how much."""
    records = _store().all()
    if as_json:
        fields = ("name", "created", "per_minute", "per_day")
        told = [{field: getattr(record, field) for field in fields} for record in records]
        click.echo(msgspec.json.encode(told))
        return
    table = Table("name", "since", "a minute", "a day", box=None)
    for record in records:
        since = time.strftime("%Y-%m-%d", time.gmtime(record.created))
        table.add_row(record.name, since, str(record.per_minute or "-"), str(record.per_day or "-"))
    Console().print(table if records else "Nobody has a token.")


def _store() -> TokenStore:
    return TokenStore(tokens_file())
