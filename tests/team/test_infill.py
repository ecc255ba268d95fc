"""llama-server's infill: what the engine is asked, and what it is answered with."""

import json
from typing import Any

import pytest

from inference import FinishReason
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.service import Service, events_of


async def check(body: dict[str, object], script: Script | None = None) -> tuple[Any, Service]:
    service = Service(ScriptedEngine(script))
    response = await service.post("/infill", {"input_prefix": "x", **body})
    assert response.status_code == 200, response.text
    return response.json(), service


@pytest.mark.parametrize(("n_predict", "max_tokens"), [(-1, 512), (9, 9), (2000, 512)])
async def test_how_many_tokens_are_asked_for(n_predict: int, max_tokens: int) -> None:
    _, service = await check({"n_predict": n_predict})
    assert service.engine.log.requests[0].max_tokens == max_tokens


async def test_a_text_that_is_to_be_read_ahead_is() -> None:
    answer, service = await check({"n_predict": 0})
    assert answer["content"] == ""
    assert [one.prefix for one in service.engine.log.warmed] == ["x"]
    assert service.engine.log.requests == []


@pytest.mark.parametrize(
    ("extra", "language"),
    [
        ([], "plaintext"),
        ([{"text": "x"}], "plaintext"),
        ([{"text": "x", "filename": "a.go"}, {"text": "y"}, {"text": "z"}], "go"),
        ([{"text": one, "filename": f"a.{one}"} for one in ("go", "rs", "rs")], "rust"),
    ],
)
async def test_the_language_is_that_of_the_texts_beside_it(extra: object, language: str) -> None:
    _, service = await check({"input_extra": extra})
    assert service.engine.log.requests[0].language == language


async def test_what_our_clients_say_of_the_file_goes_before() -> None:
    extra = [{"text": "x", "filename": "a.go"}]
    _, service = await check({"input_extra": extra, "inkling": {"filepath": "b.rs"}})
    assert service.engine.log.requests[0].language == "rust"


@pytest.mark.parametrize(
    ("finish_reason", "stop", "stop_type", "word"),
    [
        (FinishReason.BLOCK, [], "eos", ""),
        (FinishReason.LENGTH, [], "limit", ""),
        (FinishReason.LENGTH, ["turn"], "word", "turn"),
    ],
)
async def test_why_it_ends(
    finish_reason: FinishReason, stop: list[str], stop_type: str, word: str
) -> None:
    answer, _ = await check({"stop": stop}, Script(finish_reason=finish_reason))
    assert (answer["stop_type"], answer["stopping_word"]) == (stop_type, word)


async def test_fields_are_chosen_by_paths() -> None:
    fields = ["content", "timings/prompt_n", "timings/none", "content/deeper", ""]
    answer, _ = await check({"response_fields": fields})
    assert answer == {"content": "return 1", "timings/prompt_n": 0}


async def test_a_stream_has_no_last_word() -> None:
    service = Service(ScriptedEngine(Script(text="a\nb")))
    response = await service.post("/infill", {"input_prefix": "x", "stream": True})
    events = [json.loads(event) for event in events_of(response.text)]
    assert [(event["content"], event["stop"]) for event in events] == [
        ("a\n", False),
        ("b", False),
        ("", True),
    ]
