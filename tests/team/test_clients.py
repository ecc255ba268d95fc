"""What llama.vim and llama.vscode send, as they send it, is answered as they read it."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference import CompletionRequest
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.service import Service

REQUESTS = sorted((Path(__file__).parent / "requests").glob("*.json"))
TEXT = "math.pi * radius**2"


class Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`answers` are the fields that the client reads, `source` where it builds the request."""

    source: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    answers: list[str]


def sent(name: str) -> Sent:
    path = Path(__file__).parent / "requests" / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Sent)


async def check(name: str) -> tuple[dict[str, Any], list[CompletionRequest], str]:
    """Send a request; return the answer, what the engine was asked, and the answer as it came."""
    request = sent(name)
    service = Service(ScriptedEngine(Script(text=TEXT)))
    response = await service.client.post(
        request.path, content=json.dumps(request.body), headers=request.headers
    )
    assert response.status_code == 200, response.text
    assert set(request.answers) <= response.json().keys()
    return response.json(), service.engine.log.requests, response.text


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
async def test_it_is_answered_with_what_its_client_reads(path: Path) -> None:
    answer, _, _ = await check(path.stem)
    assert "error" not in answer


@pytest.mark.parametrize("name", ["llama_vim_fill", "llama_vim_older", "llama_vscode_fill"])
async def test_the_hole_is_before_and_behind_the_cursor(name: str) -> None:
    answer, asked, _ = await check(name)
    assert answer["content"] == TEXT
    assert [one.prefix.endswith("def area(radius):\n    return ") for one in asked] == [True]
    assert asked[0].suffix.startswith("\n\n\ndef circumference")
    assert asked[0].language == "python"  # of the texts beside it
    assert asked[0].max_tokens == 128


@pytest.mark.parametrize("name", ["llama_vim_ring", "llama_vscode_ring"])
async def test_what_writes_nothing_is_remembered(name: str) -> None:
    request = sent(name)
    service = Service()
    response = await service.post(request.path, request.body)
    texts = [chunk["text"] for chunk in request.body["input_extra"]]
    assert sorted(filter(None, service.engine.log.remembered.values())) == sorted(texts)
    assert service.engine.log.requests == []
    assert response.json().get("content", "") == ""


async def test_llama_vim_finds_its_answer_by_a_pattern() -> None:
    """It looks at the raw text before it decodes it: s:fim_on_response."""
    _, _, raw = await check("llama_vim_fill")
    assert re.match(r"\s*{", raw)
    assert re.search(r'"content"\s*:"', raw)


async def test_llama_vim_divides_by_what_it_is_told() -> None:
    answer, _, _ = await check("llama_vim_fill")
    assert answer["timings/prompt_ms"] > 0
    assert answer["timings/predicted_ms"] > 0
    assert answer.keys() == set(sent("llama_vim_fill").answers)


async def test_hole_tokens_in_a_prompt_are_text() -> None:
    answer, asked, _ = await check("llama_vscode_openai")
    assert answer["choices"][0]["text"] == TEXT
    assert asked[0].prefix.startswith("<|fim_prefix|>import math")
