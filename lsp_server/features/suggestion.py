"""Find the completion for a place in a document: what every feature that shows one shares."""

from typing import NamedTuple

import msgspec
from lsprotocol import types

from inference import Completion, CompletionRequest
from lsp_server.convert import completion_request, with_selected
from lsp_server.documents import Document
from lsp_server.insight.records import OUTDATED
from lsp_server.policy.gate import Silence, Trigger, silence_at
from lsp_server.policy.judge import Verdict
from lsp_server.policy.length import first_text_ms, max_tokens, num_candidates
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
            surroundings=ls.documents.surroundings(uri),
            max_tokens=max_tokens(ls.settings, trigger),
            first_text_ms=first_text_ms(ls.settings, trigger),
            deadline_ms=ls.settings.deadline_ms,
        )
        request = msgspec.structs.replace(
            request, num_candidates=num_candidates(ls.settings, trigger)
        )
        record.reads(request)
        is_shorter = ls.has_shrunk(uri, document)
        completion = await ls.complete(request)
        record.answer(completion, ls.engine.status().model)
        is_outdated = ls.documents.get(uri) is not document
        if is_outdated:
            record.outcome = OUTDATED
        is_steady = trigger is Trigger.AUTOMATIC and not is_outdated
        rest = _on_screen(ls, uri, place[1]) if is_steady else ""
        if not completion.text and not rest:
            return None
        completion, verdict = _judged(
            ls, trigger, request, completion, rest=rest, is_shorter=is_shorter
        )
        record.probability = verdict.probability
        if verdict.silence is not None:
            record.withhold(verdict.silence)
            return None
        if is_outdated:  # the client knows what it asked about, and may use what still fits
            return Suggestion(*place, completion, record.ordinal)
        begun = place[0].lines.between(offset, place[1])
        ordinal = ls.feedback.answered(record, uri, offset, begun + completion.text)
        ls.judge.shown(ordinal, request, completion.text, verdict.probability)
        return Suggestion(*place, completion, ordinal)


def _reason_not_to_ask(
    ls: InklingServer, document: Document, offset: int, trigger: Trigger
) -> Silence | None:
    reason = ls.silence_in(document, trigger)
    return reason or silence_at(ls.settings, *document.around(offset), trigger)


def _on_screen(ls: InklingServer, uri: str, offset: int) -> str:
    """Return what is left of the text that is shown at a place, as far as that is known."""
    on_screen = ls.feedback.on_screen(uri)
    return on_screen.rest if on_screen is not None and on_screen.place == offset else ""


def _judged(
    ls: InklingServer,
    trigger: Trigger,
    request: CompletionRequest,
    completion: Completion,
    *,
    rest: str,
    is_shorter: bool,
) -> tuple[Completion, Verdict]:
    """Return what may be shown instead of `rest`, which is on the screen, and what is said of it.

    What is on the screen was judged when it came. It stands until an answer says more of the same
    that may be shown, too.
    """
    kept = msgspec.structs.replace(completion, text=rest, origin="cache")
    shown = completion if completion.text.startswith(rest) else kept
    verdict = ls.judged(trigger, request, shown, is_shorter=is_shorter)
    if rest and verdict.silence is not None:
        return kept, Verdict(probability=verdict.probability)
    return shown, verdict
