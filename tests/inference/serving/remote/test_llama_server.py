"""A real llama-server behind the door, with the model that ships (`make parity`).

It makes holes itself in an order of its own, so what it writes is compared with what it is known to
read: the prompt that it tells, and the text behind it.
"""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from export.package.to_checkpoint import write_checkpoint
from inference.completion import CompletionRequest
from inference.engine import EngineState
from inference.package.manifest import TOKENIZER_FILE
from inference.package.store import embedded_folder
from inference.runtime.tokenizer import Tokenizer
from inference.serving.remote.dialects import Way, shown
from inference.serving.remote.endpoint import Layout, RemoteOptions
from inference.serving.remote.engine import RemoteEngine
from inference.serving.remote.probe import Ability, Found
from lsp_server.remote import read_layouts
from tests.support.exported import read_values

pytestmark = [pytest.mark.parity, pytest.mark.slow, pytest.mark.filterwarnings("default")]

PREFIX = "class A:\n    def __init__(self, name):\n        self.name = "
SUFFIX = "\n        self.other = None\n"
TOKENS = Tokenizer.load(embedded_folder() / TOKENIZER_FILE)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of llama.cpp's server in this process."""
    from tests.support.llama_cpp import LlamaCpp, write_gguf  # what it imports, `make test` lacks

    folder = tmp_path_factory.mktemp("llama")
    write_checkpoint(embedded_folder(), folder / "back")
    gguf = folder / "inkling.gguf"
    write_gguf(gguf, *read_values(folder / "back"), folder / "back" / TOKENIZER_FILE)
    llama = LlamaCpp(gguf, context_length=2048, num_threads=1)
    yield llama.address
    del llama


def said(url: str, route: str, asked: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url + route, json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def hole(prefix: str = PREFIX, **more: Any) -> CompletionRequest:
    return CompletionRequest(
        document="a", prefix=prefix, suffix=SUFFIX, language="python", scope="line", **more
    )


def layout() -> Layout:
    return next(one for one in read_layouts() if one.name == "qwen")


def greedy(url: str, prompt: str, num_tokens: int) -> str:
    """Return what llama-server writes behind a prompt in which it reads special tokens."""
    asked = {"prompt": prompt, "max_tokens": num_tokens, "temperature": 0, "stop": ["\n"]}
    return said(url, "/v1/completions", asked)["choices"][0]["text"]


async def opened(url: str) -> RemoteEngine:
    engine = RemoteEngine(RemoteOptions(url=url, layouts=read_layouts()))
    status = await asyncio.wait_for(engine.wait_ready(), 60)
    assert status.state is EngineState.READY, status.message
    assert status.model == "inkling.gguf"
    return engine


async def test_it_is_known_for_what_it_is_and_its_hole_is_spelled_as_our_table_spells_it(
    url: str,
) -> None:
    """llama-server puts a file's separator in front where its model has one."""
    engine = await opened(url)
    completion = await engine.complete(hole(max_tokens=16))
    await engine.close()
    before, behind = shown(hole())
    asked = {"input_prefix": before, "input_suffix": behind, "n_predict": 16, "temperature": 0}
    answer = said(url, "/infill", {**asked, "stop": ["\n"]})
    assert answer["prompt"].endswith(layout().arrange(before, behind))
    assert completion.text
    assert completion.text == answer["content"].rstrip()
    assert completion.tokens.prompt == answer["tokens_evaluated"]


async def test_the_hole_that_we_spell_is_read_as_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an endpoint that has no /infill: the markers are read as the tokens that they are."""
    engine = await opened(url)
    found = engine._found
    assert found is not None
    assert found.layout == layout()
    ability = Ability(way=Way.PROMPT, model=found.ability.model, layout=layout().name)
    by_us = Found(ability=ability, layout=layout(), round_trip_ms=1.0)
    monkeypatch.setattr(engine, "_found", by_us)
    completion = await engine.complete(hole(max_tokens=16))
    await engine.close()
    prompt = layout().arrange(*shown(hole()))
    assert completion.text == greedy(url, prompt, 16).rstrip()
    text = [*TOKENS.encode(PREFIX), *TOKENS.encode(SUFFIX)]
    assert completion.tokens.prompt == len(text) + 3  # one for each marker


async def test_what_is_cancelled_stops_there(url: str) -> None:
    engine = await opened(url)
    for number in range(8):
        endless = CompletionRequest(document=str(number), prefix="In the ", max_tokens=512)
        request = asyncio.ensure_future(engine.complete(endless))
        await asyncio.sleep(0.02)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    async with asyncio.timeout(2):
        assert (await engine.complete(hole(max_tokens=4))).text
    await engine.close()
