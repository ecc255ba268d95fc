"""Many replicas of the service, as far as Ray is not needed: what they are told, and their counts.

A replica is a process with an engine of its own. Everything that one process keeps in memory holds
for each replica by itself: quotas, places in its queue, and what was read of documents.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from inference import Device, EngineOptions, InklingError
from team.settings import LOOPBACK_NAMES, ServiceSettings
from team.tokens import tokens_file

REPLICA_LABEL: Final = "replica"

Share = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1024)]


class FleetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file for `serve deploy`, or the command, says of all replicas.

    `cpus` and `gpus` are what Ray keeps free for each: with half a GPU two share one. An engine has
    as many threads as whole CPUs. From `replicas` to `max_replicas` there are as many as requests
    want (`max_replicas` 0 is `replicas`). A replica takes `max_waiting` requests at once, as in one
    process; a proxy keeps `max_queued` more for all of them, and answers others at once.

    `names` are what requests may be addressed to beside this machine's own; tokens are needed, and
    `tokens_file` is read by each node for itself.
    """

    model: str | None = None
    device: Device = "cpu"
    cpus: Share = 1.0
    gpus: Share = 0.0
    replicas: Count = 1
    max_replicas: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    max_waiting: Count = 16
    max_queued: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 32
    names: tuple[str, ...] = ()
    tokens_file: str | None = None

    def __post_init__(self) -> None:
        if self.max_replicas and self.max_replicas < self.replicas:
            raise ValueError("max_replicas is less than replicas")
        if self.device != "cpu" and not self.gpus:
            raise ValueError(f"the device is {self.device}, and gpus is 0")

    @property
    def most_replicas(self) -> int:
        return self.max_replicas or self.replicas

    @property
    def engine(self) -> EngineOptions:
        threads = max(1, int(self.cpus))
        return EngineOptions(model=self.model, device=self.device, num_threads=threads)


def told(arguments: Mapping[str, object]) -> FleetSettings:
    """Return what the arguments of a file say. Raises InklingError, which names the field."""
    try:
        return msgspec.convert(dict(arguments), FleetSettings)
    except msgspec.ValidationError as error:
        raise InklingError(f"the arguments of the application: {error}") from error


def guarded_settings(fleet: FleetSettings) -> ServiceSettings:
    """Return what replicas allow that others can reach: whoever has a token, and nobody else.

    Where a node has no file of tokens, its replicas let nobody in.
    """
    return ServiceSettings(
        hosts=frozenset(map(str.lower, LOOPBACK_NAMES | set(fleet.names))),
        takes_addresses=True,
        tokens_file=Path(fleet.tokens_file) if fleet.tokens_file else tokens_file(),
        requires_token=True,
        max_waiting=fleet.max_waiting,
    )


class FleetMetrics:
    """The counts of all replicas, asked of them when somebody looks.

    `ask` returns the page of each replica that answers, by the replica's name.
    """

    def __init__(self, ask: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        self._ask = ask

    async def page(self) -> bytes:
        return merged(await self._ask())


def merged(pages: Mapping[str, str]) -> bytes:
    """Return pages of Prometheus's text as one, where a label tells the replicas apart."""
    families = dict[str, Metric]()
    for replica, text in sorted(pages.items()):
        for family in text_string_to_metric_families(text):
            kept = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                labels = {**sample.labels, REPLICA_LABEL: replica}
                kept.add_sample(sample.name, labels, sample.value)
    registry = CollectorRegistry()
    registry.register(_Collected(families.values()))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Any:  # noqa: ANN401 - as prometheus_client has it
        return self._families
