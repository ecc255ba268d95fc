"""Find the completion for a place in a document: what every feature that shows one shares."""

from typing import NamedTuple

from lsprotocol import types

from inference import Completion
from lsp_server.convert import completion_request, with_selected
from lsp_server.documents import Document
from lsp_server.insight.records import OUTDATED
from lsp_server.policy.gate import Silence, Trigger, silence
from lsp_server.policy.length import first_text_ms, max_tokens
from lsp_server.server import InklingServer


class Suggestion(NamedTuple):
    """`completion` belongs at `offset` of this version of the document.

    `ordinal` is what the client's word on it goes by, see features/feedback.py.
    """

    document: Document
    offset: int
    completion: Completion
    ordinal: int


async def suggest(
    ls: InklingServer,
    uri: str,
    position: types.Position,
    trigger: Trigger,
    selected: types.SelectedCompletionInfo | None = None,
) -> Suggestion | None:
    """Return what to show, or None where the document is not open or silence is better.

    Where a menu has something selected, it is what follows when that is accepted.
    """
    document = ls.documents.get(uri)
    if document is None:
        return None
    with ls.journal.asked(uri, document.language_id, trigger.name.lower()) as record:
        reason = silence(ls.settings, document, trigger)
        if reason is not None:
            record.outcome = reason.name.lower()
            return None
        offset = document.offset_at(position)
        place = with_selected(document, offset, selected) if selected else (document, offset)
        if place is None:
            record.outcome = Silence.SELECTED.name.lower()
            return None
        request = completion_request(
            *place,
            max_tokens=max_tokens(ls.settings, trigger),
            first_text_ms=first_text_ms(ls.settings, trigger),
            deadline_ms=ls.settings.deadline_ms,
        )
        record.reads(request)
        completion = await ls.complete(request)
        record.answer(completion, ls.engine.status().model)
        ordinal = record.ordinal
        if ls.documents.get(uri) is not document:
            record.outcome = OUTDATED
        elif completion.text:
            begun = place[0].lines.between(offset, place[1])
            ordinal = ls.feedback.answered(record, uri, offset, begun + completion.text)
        return Suggestion(*place, completion, ordinal)
