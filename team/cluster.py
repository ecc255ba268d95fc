"""The service on Ray Serve: the same application in as many processes as there is to do.

    client ──► proxy of Serve ──► replica: team.app.create_app, and an engine of its own
               of each node       one hop; chosen by x-session-id

Serve starts a replica anew where one dies, adds some while more requests are under way than
TARGET_ONGOING for each, and puts another model in their place one after another, each once it is
ready. Only this file imports ray, and only where somebody wants a cluster.

Without RAY_ADDRESS a Ray is started on this machine, which ends with this process. It is told to
send nobody anything (usage statistics), shows no dashboard, and answers whoever has its token, a
new one each time: who reaches a Ray can run programs in it.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Generator, Mapping
from typing import Any, Final

import click
import msgspec

from inference import (
    EngineOptions,
    EngineState,
    EngineUnavailableError,
    InklingError,
    inspect_model,
    open_engine,
)
from team.app import create_app
from team.fleet import FleetMetrics, FleetSettings, guarded_settings, told
from team.metrics import Metrics, metrics_app
from team.server import Served, listen, on_signal, run
from team.settings import ServiceSettings

APPLICATION: Final = "inkling"
DEPLOYMENT: Final = "Replica"
STICKY_ROUTER: Final = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
HAPROXY: Final = "RAY_SERVE_ENABLE_HA_PROXY"
"""Set to 1 for HAProxy in the place of Ray's proxies; it is told of sessions by BALANCE."""
BALANCE: Final = "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM"

TARGET_ONGOING: Final = 2.0
"""More requests than that under way in each replica ask for another one."""
LOOK_SECONDS: Final = 1.0
UPSCALE_SECONDS: Final = 5.0
DOWNSCALE_SECONDS: Final = 300.0
"""A replica takes what it has read with it, so that it does not go in a short pause."""
RETRY_SECONDS: Final = 1.0
SURGE_PERCENT: Final = 20
"""One replica in five, and at least one, is there twice while another model takes over."""
GRACE_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 5.0
LOGGING: Final = {"enable_access_log": False, "log_level": "WARNING"}


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where the proxies listen; with a certificate they speak TLS alone."""

    host: str
    port: int
    tls_certificate: str | None = None
    tls_key: str | None = None


class Replica:
    """One process of the service. It takes part once its engine is ready."""

    def __init__(self, options: EngineOptions, settings: ServiceSettings) -> None:
        self._engine, self._settings, self._metrics = open_engine(options), settings, Metrics()

    async def __serve_build_asgi_app__(self) -> Any:  # noqa: ANN401 - the name and the type are Ray's
        status = await self._engine.wait_ready()
        if status.state is not EngineState.READY:
            raise EngineUnavailableError(status.message)
        return create_app(self._engine, self._settings, self._metrics)

    async def check_health(self) -> None:
        """Have Ray put another replica in the place of one that has given up."""
        status = self._engine.status()
        if status.state is EngineState.FAILED:
            raise EngineUnavailableError(status.message)

    async def page(self) -> tuple[str, str]:
        """Return this replica's name and what it counted."""
        name: str = _libraries().serve.get_replica_context().replica_id.unique_id
        return name, (await self._metrics.page()).decode()


def application(arguments: Mapping[str, object]) -> Any:  # noqa: ANN401 - Serve's Application
    """Return what a file for `serve deploy` names, by its arguments (FleetSettings).

    Raises InklingError.
    """
    fleet = told(arguments)
    return bound(fleet, guarded_settings(fleet))


def bound(fleet: FleetSettings, settings: ServiceSettings) -> Any:  # noqa: ANN401 - as above
    """Return the application, which says all that Serve is to know of it."""
    serve = _libraries().serve
    scaling: dict[str, object] = {
        "min_replicas": fleet.replicas,
        "max_replicas": fleet.most_replicas,
        "target_ongoing_requests": TARGET_ONGOING,
        "upscale_delay_s": UPSCALE_SECONDS,
        "downscale_delay_s": DOWNSCALE_SECONDS,
        "look_back_period_s": UPSCALE_SECONDS,
        "metrics_interval_s": LOOK_SECONDS,
    }
    actor: dict[str, object] = {"num_cpus": fleet.cpus, "num_gpus": fleet.gpus}
    options: dict[str, object] = {
        "name": DEPLOYMENT,
        "ray_actor_options": actor,
        "autoscaling_config": scaling,
        # The engine itself decides between requests that wait, so it is given all that may wait.
        "max_ongoing_requests": fleet.max_waiting,
        "max_queued_requests": fleet.max_queued,
        "backpressure_config": {"status_code": 503, "retry_after_s": RETRY_SECONDS},
        "graceful_shutdown_timeout_s": GRACE_SECONDS,
        "max_surge_percent": SURGE_PERCENT,
        "logging_config": LOGGING,
    }
    if not uses_haproxy():  # which knows sessions by itself, and Ray refuses both
        options["request_router_config"] = {"request_router_class": STICKY_ROUTER}
    return serve.deployment(**options)(serve.ingress()(Replica)).bind(fleet.engine, settings)


def uses_haproxy() -> bool:
    return os.environ.get(HAPROXY) == "1"


@contextlib.contextmanager
def deployed(
    fleet: FleetSettings, settings: ServiceSettings, where: Where
) -> Generator[FleetMetrics]:
    """Have the service answer while the block runs. Raises InklingError where it cannot.

    In a Ray that was there before, everything else is left as it is.
    """
    _check_model(fleet.model)
    listen(where.host, where.port).close()  # Ray's own word for a port that is taken is a traceback
    is_joined = bool(os.environ.get("RAY_ADDRESS"))
    with _ray(is_joined=is_joined) as ray:
        _check_room(fleet, ray.cluster_resources())
        ray.serve.start(
            proxy_location="EveryNode",
            http_options={
                "host": where.host,
                "port": where.port,
                "ssl_certfile": where.tls_certificate,
                "ssl_keyfile": where.tls_key,
            },
            logging_config=LOGGING,
        )
        try:
            handle = ray.serve.run(bound(fleet, settings), name=APPLICATION)
        except RuntimeError as error:
            raise EngineUnavailableError(f"no replica came up: {error}") from error
        try:
            with _asked(handle) as metrics:
                yield metrics
        finally:
            # Only so is HAProxy ended, too; Ray complains of itself then, so not where it is not.
            ends_all = uses_haproxy() and not is_joined
            ray.serve.shutdown() if ends_all else ray.serve.delete(APPLICATION)


@contextlib.contextmanager
def _ray(*, is_joined: bool) -> Generator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = (
        "0"  # its threads start another Ray behind the end, else
    )
    os.environ.setdefault(BALANCE, "hdr(x-session-id)")
    options: dict[str, object] = {"log_to_driver": False}
    if not is_joined:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        options |= {"address": "local", "include_dashboard": False}
    ray = _libraries()
    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        ray.init(logging_level=logging.WARNING, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "at RAY_ADDRESS" if is_joined else "to be had on this machine"
        raise InklingError(f"there is no Ray {where}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _libraries() -> Any:  # noqa: ANN401 - an extra that is not there where types are checked
    """Import Ray, which takes its token from the environment once: not before that is there."""
    import ray  # pyright: ignore[reportMissingImports]
    import ray.serve  # pyright: ignore[reportMissingImports, reportUnusedImport]

    return ray


def _check_model(model: str | None) -> None:
    """Raise InklingError where Ray would try a replica three times before it says no reason."""
    problem = inspect_model(model).problem
    if problem:
        raise EngineUnavailableError(problem)


def _check_room(fleet: FleetSettings, resources: Mapping[str, float]) -> None:
    """Raise InklingError where Ray would wait for ever for what there is not."""
    for kind, share in (("CPU", fleet.cpus), ("GPU", fleet.gpus)):
        wanted, there = share * fleet.replicas, resources.get(kind, 0.0)
        if wanted > there:
            raise InklingError(
                f"{fleet.replicas} replicas want {wanted:g} {kind}, of which Ray has {there:g}; "
                f"name fewer --replicas, or fewer --{kind.lower()}s for each"
            )


@contextlib.contextmanager
def _asked(handle: Any) -> Generator[FleetMetrics]:  # noqa: ANN401 - Serve's DeploymentHandle
    """Give the counts of a deployment's replicas; behind it nothing of the handle runs on."""

    async def ask() -> dict[str, str]:
        answers = await handle.broadcast("page").results_async(
            timeout_s=ANSWER_SECONDS, return_exceptions=True
        )
        return dict(answer for answer in answers if not isinstance(answer, Exception))

    try:
        yield FleetMetrics(ask)
    finally:
        handle.shutdown()


async def until_told_to_end(metrics: FleetMetrics, metrics_socket: Any | None) -> None:  # noqa: ANN401
    """Return when a signal comes; show the counts of all replicas until then, where wanted."""
    if metrics_socket is not None:
        await run([Served(metrics_app(metrics, ServiceSettings()), metrics_socket)])
        return
    ended = asyncio.Event()
    on_signal(ended.set)
    await ended.wait()


@click.command()
@click.option("--port", default=9012, show_default=True, type=click.IntRange(0, 65535))
def main(port: int) -> None:
    """Show /metrics of what `serve deploy` put on the Ray of RAY_ADDRESS, to this machine alone."""
    with (
        listen("127.0.0.1", port) as listening,
        _ray(is_joined=True) as ray,
        _asked(ray.serve.get_app_handle(APPLICATION)) as metrics,
    ):
        asyncio.run(until_told_to_end(metrics, listening))


if __name__ == "__main__":
    main()
