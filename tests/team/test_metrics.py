"""What is counted, under which names, and for whom it is shown."""

import httpx2

from inference import Completion, EngineState, EngineStatus, FinishReason, Timings, TokenCounts
from team.metrics import Metrics, metrics_app
from team.settings import ServiceSettings
from tests.support.scripted_engine import ScriptedEngine
from tests.support.service import Service

MODEL = {"gen_ai_operation_name": "text_completion", "gen_ai_request_model": "m"}


def check(completion: Completion, seconds: float, **sums: float) -> None:
    """A completion adds so much to the sum of each histogram; None where it is in none."""
    metrics = Metrics()
    metrics.observe(completion, "m", seconds)
    for name, value in sums.items():
        found = metrics.registry.get_sample_value(f"{name}_seconds_sum", MODEL)
        assert found is not None, name
        assert abs(found - value) < 1e-9, name


def test_times_are_those_of_opentelemetry() -> None:
    check(
        Completion(
            text="x",
            finish_reason=FinishReason.BLOCK,
            tokens=TokenCounts(prompt=10, reused=4, generated=3),
            timings=Timings(queue_ms=100, first_token_ms=50, decode_ms=40),
        ),
        0.25,
        gen_ai_server_request_duration=0.25,
        gen_ai_server_time_to_first_token=0.15,
        gen_ai_server_time_per_output_token=0.02,
    )


async def test_tokens_ends_and_outcomes_are_counted() -> None:
    service = Service()
    await service.fill()
    await service.post("/v1/completions", {"prompt": 1})
    await service.get("/nothing")
    route = "/v1/completions"
    assert service.value("inkling_requests_total", route=route, outcome="answered") == 1
    assert service.value("inkling_requests_total", route=route, outcome="refused") == 1
    assert service.value("inkling_requests_total", route="other", outcome="refused") == 1
    assert service.value("inkling_completions_total", finish_reason="block", origin="model") == 1


async def test_how_the_engine_is_is_seen_when_somebody_looks() -> None:
    engine = ScriptedEngine(status=EngineStatus(state=EngineState.LOADING, num_restarts=2))
    service = Service(engine)
    assert service.value("inkling_engine_ready") == 0
    assert service.value("inkling_engine_restarts") == 2


async def test_they_are_shown_as_text_to_this_machine_alone() -> None:
    app = metrics_app(Service().metrics, ServiceSettings())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:9")
    shown = await client.get("/metrics")
    assert shown.headers["content-type"].startswith("text/plain")
    assert "inkling_engine_ready 1.0" in shown.text
    foreign = await client.get("/metrics", headers={"Host": "evil.example"})
    assert foreign.status_code == 403


async def test_no_name_and_no_text_is_in_them() -> None:
    service = Service()
    body = {"prompt": "canary1", "inkling": {"filepath": "canary2.py"}, "user": "canary3"}
    await service.post("/v1/completions", body, {"x-session-id": "canary4"})
    app = metrics_app(service.metrics, ServiceSettings())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
    assert "canary" not in (await client.get("/metrics")).text
