"""What all replicas are told, and their counts as one page; without Ray."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference import InklingError
from team import tokens
from team.fleet import FleetMetrics, guarded_settings, merged, told
from team.metrics import Metrics

ROUTE = "/v1/completions"


def check(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(InklingError, match=says):
        told(arguments)


def test_what_is_said_wrongly_is_named() -> None:
    check({"replica": 2}, "unknown field `replica`")
    check({"replicas": 0}, r"replicas")
    check({"replicas": 3, "max_replicas": 2}, "less than replicas")
    check({"cpus": -1}, "cpus")
    check({"device": "cuda"}, "gpus is 0")
    check({"device": "abacus"}, "device")


def test_what_is_left_out() -> None:
    fleet = told({})
    assert fleet.most_replicas == 1
    assert told({"replicas": 2, "max_replicas": 5}).most_replicas == 5
    assert told({"replicas": 2}).most_replicas == 2


@pytest.mark.parametrize(("cpus", "threads"), [(0.0, 1), (0.5, 1), (1.0, 1), (2.5, 2), (8.0, 8)])
def test_an_engine_has_the_threads_that_ray_keeps_free(cpus: float, threads: int) -> None:
    assert told({"cpus": cpus, "model": "m"}).engine.num_threads == threads


def test_a_cluster_lets_in_whoever_has_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "data_folder", lambda: tmp_path)
    settings = guarded_settings(told({"names": ["Inkling.Example"], "max_waiting": 3}))
    assert settings.requires_token
    assert settings.tokens_file == tmp_path / "tokens.json"
    assert {"inkling.example", "127.0.0.1"} <= settings.hosts
    assert settings.max_waiting == 3
    assert guarded_settings(told({"tokens_file": "/t.json"})).tokens_file == Path("/t.json")


def values(page: bytes, name: str) -> dict[str, float]:
    """Return the values under a name by replica."""
    return {
        sample.labels["replica"]: sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == name
    }


async def test_counts_of_all_replicas_are_one_page() -> None:
    counted = {"a": 3, "b": 5}

    async def ask() -> dict[str, str]:
        pages = dict[str, str]()
        for name, number in counted.items():
            metrics = Metrics()
            for _ in range(number):
                metrics.count(ROUTE, 200)
            pages[name] = (await metrics.page()).decode()
        return pages

    page = await FleetMetrics(ask).page()
    assert values(page, "inkling_requests_total") == {"a": 3, "b": 5}
    assert page.count(b"# TYPE inkling_requests_total ") == 1


def test_without_replicas_the_page_is_empty() -> None:
    assert merged({}) == b""


def test_one_replica_says_what_it_says_alone() -> None:
    metrics = Metrics()
    metrics.count(ROUTE, 503)
    text = asyncio.run(metrics.page()).decode()
    alone = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    shown = {
        (sample.name, *sorted(item for item in sample.labels.items() if item[0] != "replica")): (
            sample.value
        )
        for family in text_string_to_metric_families(merged({"a": text}).decode())
        for sample in family.samples
    }
    assert shown == alone
