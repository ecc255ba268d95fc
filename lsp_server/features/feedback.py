"""Hear what becomes of suggestions, and tell why there was one or none.

An item carries the command `inkling.accepted` with an id that means something to this session only.
Clients that were written for GitHub's Copilot say more, in its words, and are understood.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from lsprotocol import types

from lsp_server.insight.explain import as_json
from lsp_server.lines import Lines
from lsp_server.protocol import refused
from lsp_server.server import Feature, InklingServer

ACCEPTED: Final = "inkling.accepted"
EXPLAIN_LAST: Final = "inkling.explainLast"
DID_SHOW: Final = "textDocument/didShowCompletion"
DID_ACCEPT_PART: Final = "textDocument/didPartiallyAcceptCompletion"


def accept_command(session: str, ordinal: int) -> types.Command:
    """Return what a client runs when an item is accepted: the answer to the request `ordinal`."""
    return types.Command("Accepted", ACCEPTED, arguments=[f"{session}-{ordinal}"])


def document_changed(
    ls: InklingServer,
    uri: str,
    before: Lines | None,
    changes: Sequence[types.TextDocumentContentChangeEvent],
) -> None:
    """Take note of a change that was applied to what was `before`, None where nobody knew."""
    document = ls.documents.get(uri)
    if document is None or before is None:
        ls.feedback.closed(uri)
    else:
        ls.feedback.changed(uri, before, document.lines, [change.text for change in changes])


async def accepted(ls: InklingServer, arguments: Sequence[Any]) -> None:
    """Take the client's word that an item was accepted. Arguments: its command's."""
    ordinal = _ordinal(ls, arguments)
    if ordinal is None:
        raise refused(f"{ACCEPTED} takes the id that came with an item")
    ls.feedback.accepted(ordinal)


async def explain_last(ls: InklingServer, _arguments: Sequence[Any]) -> dict[str, Any] | None:
    """Return what became of the last request and why, as a sentence too; null before the first."""
    requests = ls.journal.requests
    return as_json(requests[-1]) if requests else None


def did_show(ls: InklingServer, params: object) -> None:
    """Copilot's "shown"; `params` is an object with the item."""
    ordinal = _item_ordinal(ls, params)
    if ordinal is not None:
        ls.feedback.shown(ordinal)


def did_accept_part(ls: InklingServer, params: object) -> None:
    """Copilot's "partly accepted"; the length counts all of it so far, in UTF-16 units."""
    ordinal, length = _item_ordinal(ls, params), getattr(params, "acceptedLength", None)
    if ordinal is not None and isinstance(length, int):
        ls.feedback.partly_accepted(ordinal, length)


def _item_ordinal(ls: InklingServer, params: object) -> int | None:
    """Return the number that an item of ours goes by, None for what is none."""
    item = getattr(params, "item", None)
    return _ordinal(ls, getattr(getattr(item, "command", None), "arguments", None))


def _ordinal(ls: InklingServer, arguments: object) -> int | None:
    if not isinstance(arguments, list | tuple) or not arguments:
        return None
    name = cast("Sequence[object]", arguments)[0]
    session, _, number = name.partition("-") if isinstance(name, str) else ("", "", "")
    is_ours = session == ls.journal.session and number.isdecimal() and len(number) < 16
    return int(number) if is_ours else None


FEATURES: Final = (
    Feature(DID_SHOW, None, did_show),
    Feature(DID_ACCEPT_PART, None, did_accept_part),
)
