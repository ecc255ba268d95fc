"""Find the completion for a place in a document: what every feature that shows one shares."""

from typing import NamedTuple

import msgspec
from lsprotocol import types

from inference import Completion
from lsp_server.convert import completion_request, with_selected
from lsp_server.documents import Document
from lsp_server.insight.records import OUTDATED
from lsp_server.policy.gate import Silence, Trigger, silence, silence_at
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
        offset = document.offset_at(position)
        place = with_selected(document, offset, selected) if selected else (document, offset)
        reason = Silence.SELECTED if place is None else _reason_not_to_ask(ls, *place, trigger)
        if reason is not None:
            record.withhold(reason)
            return None
        assert place is not None
        request = completion_request(
            *place,
            max_tokens=max_tokens(ls.settings, trigger),
            first_text_ms=first_text_ms(ls.settings, trigger),
            deadline_ms=ls.settings.deadline_ms,
        )
        record.reads(request)
        is_shorter = ls.has_shrunk(uri, document)
        completion = await ls.complete(request)
        record.answer(completion, ls.engine.status().model)
        if ls.documents.get(uri) is not document:
            record.outcome = OUTDATED
            return Suggestion(*place, completion, record.ordinal)
        if trigger is Trigger.AUTOMATIC:
            completion = _steady(ls, uri, place[1], completion)
        if not completion.text:
            return None
        verdict = ls.judged(trigger, request, completion, is_shorter=is_shorter)
        record.probability = verdict.probability
        if verdict.silence is not None:
            record.withhold(verdict.silence)
            return None
        begun = place[0].lines.between(offset, place[1])
        ordinal = ls.feedback.answered(record, uri, offset, begun + completion.text)
        ls.judge.shown(ordinal, request, completion.text, verdict.probability)
        return Suggestion(*place, completion, ordinal)


def _reason_not_to_ask(
    ls: InklingServer, document: Document, offset: int, trigger: Trigger
) -> Silence | None:
    reason = silence(ls.settings, document, trigger)
    reason = reason or silence_at(ls.settings, *document.around(offset), trigger)
    if reason is None and ls.ignored.names(document.uri, ls.workspace_folders):
        return Silence.IGNORED
    return reason


def _steady(ls: InklingServer, uri: str, offset: int, completion: Completion) -> Completion:
    """Let what is on the screen and still fits stand, unless the answer says more of the same."""
    on_screen = ls.feedback.on_screen(uri)
    if on_screen is None or on_screen.place != offset or not on_screen.rest:
        return completion
    if completion.text.startswith(on_screen.rest):
        return completion
    return msgspec.structs.replace(completion, text=on_screen.rest, origin="cache")
