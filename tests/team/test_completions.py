"""OpenAI's completion: what the engine is asked, and what it is answered with."""

import asyncio
import json
from typing import Any

import pytest

from inference import CompletionRequest, FinishReason
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.service import Service, events_of


async def asked(**fields: object) -> CompletionRequest:
    service = Service()
    await service.fill(**fields)
    return service.engine.log.requests[0]


async def check(script: Script | None = None, **fields: object) -> Any:
    """Return the answer's only choice."""
    (choice,) = (await Service(ScriptedEngine(script)).fill(**fields))["choices"]
    return choice


async def test_a_prompt_and_a_suffix_are_a_hole() -> None:
    request = await asked(prompt="a = ", suffix="\nb", max_tokens=7)
    assert (request.prefix, request.suffix, request.max_tokens) == ("a = ", "\nb", 7)


async def test_without_a_suffix_a_text_goes_on() -> None:
    assert (await asked(prompt=["a = "])).suffix == ""


async def test_our_own_fields_are_the_engines() -> None:
    ours = {
        "filepath": "src/a.rs",
        "deadline_ms": 321,
        "scope": "line",
        "first_text_ms": 99,
        "num_skipped": 5,
    }
    request = await asked(inkling=ours)
    assert request.language == "rust"
    assert request.deadline_ms == 321
    assert (request.scope, request.first_text_ms, request.num_skipped) == ("line", 99, 5)
    assert (await asked(inkling={"language": "go", "filepath": "a.rs"})).language == "go"


async def test_a_long_text_is_cut_where_it_is_furthest_from_the_cursor() -> None:
    request = await asked(prompt="a" * 10 + "b" * 65_536, suffix="c" * 65_540)
    assert request.prefix == "b" * 65_536
    assert request.num_skipped == 10
    assert request.suffix == "c" * 65_536


async def test_more_than_can_be_written_may_be_asked_for() -> None:
    assert (await asked(max_tokens=4096)).max_tokens == 512


async def test_sampling_is_told_and_not_done() -> None:
    answer = await Service().fill(temperature=0.8, top_p=0.9, seed=3, user="ann")
    assert answer["inkling"]["sampling"] == "greedy"


@pytest.mark.parametrize(
    ("stop", "text", "reason"),
    [
        (None, "a; b; c", "length"),
        ([], "a; b; c", "length"),
        (";", "a", "stop"),
        (["c", "b"], "a; ", "stop"),
        (["z"], "a; b; c", "length"),
    ],
)
async def test_a_text_ends_before_a_stop(stop: object, text: str, reason: str) -> None:
    script = Script(text="a; b; c", finish_reason=FinishReason.LENGTH)
    choice = await check(script, stop=stop)
    assert (choice["text"], choice["finish_reason"]) == (text, reason)


async def test_other_candidates_are_other_choices() -> None:
    service = Service(ScriptedEngine(Script(text="a", alternatives=("b", "c", "d"))))
    answer = await service.fill(n=3)
    assert [(one["index"], one["text"]) for one in answer["choices"]] == [
        *enumerate(["a", "b", "c"])
    ]


async def test_a_stream_is_the_answer_in_events() -> None:
    text = "one\n  two\n"
    service = Service(ScriptedEngine(Script(text=text)))
    response = await service.post("/v1/completions", {"prompt": "x", "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, last = events_of(response.text)
    assert last == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events]
    assert "".join(choice["text"] for choice in choices) == text
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]


async def test_the_newest_request_of_a_session_is_the_one_that_counts() -> None:
    service = Service(ScriptedEngine(Script(num_steps=3, step_ms=20)))
    one = {"x-session-id": "s1"}
    body = {"prompt": "x"}
    answers = await asyncio.gather(
        *(service.post("/v1/completions", body, headers) for headers in (one, one, {}, {}))
    )
    ends = [answer.json()["inkling"]["finish_reason"] for answer in answers]
    assert ends == ["superseded", "block", "block", "block"]
