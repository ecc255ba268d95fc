"""Answer `inkling/look`: what the model saw when it wrote a completion, token by token.

A request of the playground's page alone. It is made when somebody looks, never while one types, and
is computed beside the engine (inference/serving/dissector.py).
"""

from typing import Final

import msgspec
from lsprotocol import types

from inference import Dissector
from lsp_server.convert import completion_request
from lsp_server.protocol import refused
from lsp_server.server import Feature, InklingServer

LOOK: Final = "inkling/look"


def look_feature(dissector: Dissector, model: str) -> Feature:
    """Return the feature for a session whose engine runs this model."""

    async def look(ls: InklingServer, params: object) -> object:
        """Take {textDocument: {uri}, position, text}: what was shown there. Return a Dissection."""
        uri, text = _at(params, "textDocument", "uri"), _at(params, "text")
        line, character = _at(params, "position", "line"), _at(params, "position", "character")
        match uri, line, character, text:
            case str(), int(), int(), str() if (document := ls.documents.get(uri)) is not None:
                place = types.Position(line, character)
            case _:
                raise refused(f"{LOOK} takes an open document, a position in it, and a text")
        request = completion_request(
            document,
            document.offset_at(place),
            max_tokens=ls.settings.max_tokens,
            first_text_ms=ls.settings.first_text_ms,
            deadline_ms=ls.settings.deadline_ms,
        )
        return msgspec.to_builtins(await dissector.dissect(model, request, text))

    return Feature(LOOK, None, look)


def _at(value: object, *names: str) -> object:
    for name in names:
        value = getattr(value, name, None)
    return value
