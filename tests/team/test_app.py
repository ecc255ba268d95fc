"""The application: who is let in, what closed connections stop, and what goes wrong quietly."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inference import EngineState, EngineStatus, FinishReason
from team.settings import ServiceSettings
from team.tokens import TokenStore
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.service import Leaver, Service
from tests.support.until import until

FILL = "/v1/completions"
BODY = {"prompt": "x = "}


async def check(
    service: Service,
    status: int,
    body: object = BODY,
    headers: dict[str, str] | None = None,
    path: str = FILL,
) -> httpx2.Response:
    """Send one request, which is answered with this status and, if refused, with why."""
    response = await service.post(path, body, headers)
    assert response.status_code == status, response.text
    if status >= 400:
        error = response.json()["error"]
        assert error["code"] == status
        assert error["message"]
    return response


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:8012"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.0.2.7:8012"},
        {"Host": "127.0.0.1:80:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8012"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
async def test_pages_and_foreign_names_are_not_answered(headers: dict[str, str]) -> None:
    service = Service()
    await check(service, 403, headers=headers)
    assert service.engine.log.requests == []


@pytest.mark.parametrize("host", ["localhost:8012", "127.0.0.1", "[::1]:8012", "LOCALHOST"])
async def test_this_machines_names_are(host: str) -> None:
    await check(Service(), 200, headers={"Host": host})


async def test_an_address_is_a_name_where_tokens_are_asked_for() -> None:
    settings = ServiceSettings(takes_addresses=True, hosts=frozenset({"inkling.example"}))
    await check(Service(settings=settings), 200, headers={"Host": "192.0.2.7:8012"})
    await check(Service(settings=settings), 200, headers={"Host": "inkling.example"})
    await check(Service(settings=settings), 403, headers={"Host": "evil.example"})


async def test_a_closed_connection_stops_the_engine_within_a_step() -> None:
    service = Service(ScriptedEngine(Script(num_steps=1000, step_ms=1)))
    leaver = Leaver(FILL, BODY)
    answering = asyncio.create_task(service.app(leaver.scope, leaver.receive, leaver.send))
    log = service.engine.log
    await until(lambda: log.num_steps)
    leaver.leaves.set()
    await answering
    assert log.num_cancelled == 1
    num_steps = log.num_steps
    await asyncio.sleep(0.02)
    assert log.num_steps == num_steps
    assert service.value("inkling_requests_total", route=FILL, outcome="left") == 1
    service.engine.play(Script())
    await check(service, 200)


async def test_a_place_is_free_again_when_its_client_left() -> None:
    service = Service(
        ScriptedEngine(Script(is_held=True)), ServiceSettings(max_waiting=1, max_waiting_of_one=1)
    )
    leaver = Leaver(FILL, BODY)
    answering = asyncio.create_task(service.app(leaver.scope, leaver.receive, leaver.send))
    await until(lambda: service.engine.log.num_running)
    refused = await check(service, 503)
    assert int(refused.headers["retry-after"]) >= 1
    assert service.value("inkling_requests_waiting") == 1
    leaver.leaves.set()
    await answering
    service.engine.release()
    await check(service, 200)


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "tokens.json")


def guarded(tmp_path: Path, **settings: Any) -> Service:
    return Service(
        settings=ServiceSettings(
            tokens_file=tmp_path / "tokens.json", requires_token=True, **settings
        )
    )


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_lets_in_until_it_is_taken_back(tokens: TokenStore, tmp_path: Path) -> None:
    service = guarded(tmp_path)
    refused = await check(service, 401)
    assert refused.headers["www-authenticate"] == "Bearer"
    token = tokens.add("ann")
    await check(service, 200, headers=bearing(token))
    await check(service, 401, headers=bearing(token[:-1]))
    assert (await service.get("/v1/models")).status_code == 401
    assert (await service.get("/v1/models", bearing(token))).status_code == 200
    tokens.revoke("ann")
    await check(service, 401, headers=bearing(token))
    assert len(service.engine.log.requests) == 1


async def test_the_first_token_closes_what_was_open(tokens: TokenStore, tmp_path: Path) -> None:
    service = Service(settings=ServiceSettings(tokens_file=tmp_path / "tokens.json"))
    await check(service, 200)
    tokens.add("ann")
    await check(service, 401)


async def test_a_rate_is_its_bearers_own(tokens: TokenStore, tmp_path: Path) -> None:
    ann, bob = tokens.add("ann", per_minute=1), tokens.add("bob")
    service = guarded(tmp_path)
    await check(service, 200, headers=bearing(ann))
    refused = await check(service, 429, headers=bearing(ann))
    assert int(refused.headers["retry-after"]) > 1
    await check(service, 200, headers=bearing(bob))


async def test_what_one_person_sent_is_under_their_name(tokens: TokenStore, tmp_path: Path) -> None:
    service = guarded(tmp_path)
    body = {**BODY, "inkling": {"extra": [{"text": "secret"}]}}
    for name in ("ann", "bob"):
        await check(service, 200, body, bearing(tokens.add(name)) | {"x-session-id": "s"})
    documents = [request.document for request in service.engine.log.requests]
    assert [name.partition("\0")[0] for name in documents] == ["ann", "bob"]
    told = {name.partition("\0")[0] for name in service.engine.log.remembered}
    assert told == {"ann", "bob"}


@pytest.mark.parametrize(
    ("state", "finish_reason", "status"),
    [
        (EngineState.LOADING, FinishReason.UNAVAILABLE, 503),
        (EngineState.READY, FinishReason.FAILED, 500),
        (EngineState.READY, FinishReason.SUPERSEDED, 200),
        (EngineState.READY, FinishReason.DEADLINE, 200),
    ],
)
async def test_how_a_completion_ended_is_told(
    state: EngineState, finish_reason: FinishReason, status: int
) -> None:
    engine = ScriptedEngine(
        Script(text="", finish_reason=finish_reason),
        EngineStatus(state=state, message="cannot read a file of this machine"),
    )
    response = await check(Service(engine), status)
    assert "machine" not in response.text
    if status == 503:
        assert response.headers["retry-after"]


@pytest.mark.parametrize("raises", ["user", "bug"])
async def test_a_bug_costs_one_request_and_is_logged_without_text(
    raises: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(ScriptedEngine(Script(raises=raises)))
    with caplog.at_level(logging.DEBUG):
        response = await check(service, 500, {"prompt": "a canary sings"})
    assert "canary" not in response.text + caplog.text
    assert "a request broke" in caplog.text
    service.engine.play(Script())
    await check(service, 200)


@pytest.mark.parametrize("state", EngineState)
async def test_ready_is_who_has_a_model(state: EngineState) -> None:
    service = Service(ScriptedEngine(status=EngineStatus(state=state)))
    response = await service.get("/ready")
    assert response.status_code == (200 if state is EngineState.READY else 503)
    assert (await service.get("/health")).json() == {"status": "ok"}


async def test_what_answers_is_named() -> None:
    status = EngineStatus(state=EngineState.READY, model="m", fills_holes=True, model_bytes=5)
    service = Service(ScriptedEngine(status=status))
    (model,) = (await service.get("/v1/models")).json()["data"]
    assert (model["id"], model["inkling"]) == (
        "m",
        {"fills_holes": True, "model_bytes": 5},
    )
    assert (await service.fill())["model"] == "m"


@pytest.mark.parametrize("session", ["", "a b", "x" * 257, "\u00e9"])
async def test_a_session_is_a_name(session: str) -> None:
    headers = [(b"x-session-id", session.encode("latin-1"))]
    response = await Service().client.post(FILL, json=BODY, headers=headers)
    assert response.status_code == 422


async def test_methods_and_paths_that_are_none() -> None:
    service = Service()
    assert (await service.get("/")).status_code == 404
    wrong = await service.get(FILL)
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
