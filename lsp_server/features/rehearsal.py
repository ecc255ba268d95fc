"""Have all built that messages need while one types, before anybody types.

LSP's types and what reads and writes them are made when they are first used, see lazy_types.py.
That takes some milliseconds for each kind of message, which the first key would wait for.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lsprotocol import types

from lsp_server.convert import no_inline_completions
from lsp_server.server import InklingServer

_HERE: Final = {"line": 0, "character": 0}
_SPAN: Final = {"start": _HERE, "end": _HERE}
_DOCUMENT: Final = {"uri": ""}
_VERSIONED: Final = _DOCUMENT | {"version": 0}
_PLACE: Final = {"textDocument": _DOCUMENT, "position": _HERE}
MESSAGES: Final[Sequence[tuple[str, Mapping[str, Any]]]] = (
    (
        types.TEXT_DOCUMENT_DID_OPEN,
        {"textDocument": _VERSIONED | {"languageId": "python", "text": ""}},
    ),
    (
        types.TEXT_DOCUMENT_DID_CHANGE,
        {"textDocument": _VERSIONED, "contentChanges": [{"range": _SPAN, "text": ""}]},
    ),
    (types.TEXT_DOCUMENT_INLINE_COMPLETION, _PLACE | {"context": {"triggerKind": 1}}),
    (types.TEXT_DOCUMENT_COMPLETION, _PLACE | {"context": {"triggerKind": 1}}),
    (
        types.TEXT_DOCUMENT_CODE_ACTION,
        {"textDocument": _DOCUMENT, "range": _SPAN, "context": {"diagnostics": []}},
    ),
    (types.TEXT_DOCUMENT_DID_CLOSE, {"textDocument": _DOCUMENT}),
)


async def rehearse(ls: InklingServer) -> None:
    """Read such messages and write such results for nobody, letting others go between them."""
    for method, params in MESSAGES:
        ls.protocol.rehearse_reading(method, params)
        await asyncio.sleep(0)
    for result in _results():
        ls.protocol.rehearse_writing(result)
        await asyncio.sleep(0)


def _results() -> Iterator[object]:
    here = types.Position(0, 0)
    span = types.Range(here, here)
    command = types.Command("", "", arguments=[""])
    yield no_inline_completions()
    item = types.InlineCompletionItem("", range=span, command=command)
    yield types.InlineCompletionList([item])
    entry = types.CompletionItem("", text_edit=types.TextEdit(span, ""), command=command)
    yield types.CompletionList(is_incomplete=True, items=[entry])
    yield [types.CodeAction("", kind=types.CodeActionKind.QuickFix, data={})]
