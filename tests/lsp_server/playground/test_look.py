"""`inkling/look`: the page asks what the model saw."""

from typing import Any

import pytest

from inference import CompletionRequest, Dissection
from lsp_server.playground.look import look_feature
from tests.lsp_server.playground.test_link import URI, begun
from tests.support.web_client import ask, playground

PLACE = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 8}, "text": "return 1"}


class AskedDissector:
    def __init__(self) -> None:
        self.asked = list[tuple[str, CompletionRequest, str]]()

    async def dissect(self, model: str, request: CompletionRequest, text: str) -> Dissection:
        self.asked.append((model, request, text))
        return Dissection(tokens=(), num_prompt=3, num_experts=8, elapsed_ms=1.5)


async def looked(params: object) -> tuple[Any, AskedDissector]:
    dissector = AskedDissector()
    feature = look_feature(dissector, "embedded")
    async with playground(feature) as opened, opened.socket(await opened.key()) as socket:
        await begun(opened, socket, "def f():\nx")
        return await ask(socket, "inkling/look", params, 5), dissector


async def test_a_look_is_at_a_place_of_the_document_as_the_server_knows_it() -> None:
    answer, dissector = await looked(PLACE)
    assert answer == {"tokens": [], "num_prompt": 3, "num_experts": 8, "elapsed_ms": 1.5}
    ((model, request, text),) = dissector.asked
    assert (model, text) == ("embedded", "return 1")
    assert (request.prefix, request.suffix) == ("def f():", "\nx")


@pytest.mark.parametrize(
    "changes",
    [
        {"textDocument": {"uri": "inmemory://playground/other.py"}},
        {"textDocument": None},
        {"position": {"line": "0", "character": 8}},
        {"position": {}},
        {"text": None},
    ],
)
async def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    answer, dissector = await looked({**PLACE, **changes})
    assert answer["code"] == -32602
    assert dissector.asked == []
