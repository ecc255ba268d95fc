"""Offer code actions, and compute the one that is chosen.

To offer one costs next to nothing. It is computed when the client asks for its edit, or, for
clients that never ask, by a command that edits the document itself. It is for the version of the
document that it was offered for: on any other it is refused.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from inference import MAX_TEXT_CHARACTERS
from lsp_server.actions import ACTIONS
from lsp_server.actions.action import Action, Edit, Flagged, NewFile, Outcome, Shown, Site
from lsp_server.convert import comment_before, new_file_edit, workspace_edit
from lsp_server.documents import Document
from lsp_server.features.asking import EngineAsk
from lsp_server.features.progress import progress
from lsp_server.features.text_document_content import show_text
from lsp_server.policy.gate import Trigger
from lsp_server.protocol import refused
from lsp_server.server import Feature, InklingServer

RUN: Final = "inkling.runAction"
MAX_FLAGGED: Final = 5
"""Diagnostics at a place for which a repair is offered."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What a code action carries, so that it can be computed later. Offsets are characters."""

    action: str
    which: int
    uri: str
    version: int
    start: int
    end: int
    flagged: tuple[tuple[int, int, str], ...] = ()


async def code_action(ls: InklingServer, params: types.CodeActionParams) -> list[types.CodeAction]:
    document = ls.documents.get(params.text_document.uri)
    if document is None or not ls.settings.code_actions:
        return []
    if ls.silence_in(document, Trigger.INVOKED) is not None:
        return []
    diagnostics = params.context.diagnostics[:MAX_FLAGGED]
    start, end = (document.offset_at(place) for place in (params.range.start, params.range.end))
    flagged = [_flagged(document, diagnostic) for diagnostic in diagnostics]
    _, site = site_in(document, start, end, flagged)
    offered = list[types.CodeAction]()
    for action in _possible(ls, params.context.only):
        for title, which in action.titles(site):
            chosen = Chosen(
                action=action.name,
                which=which,
                uri=document.uri,
                version=document.version,
                start=start,
                end=end,
                flagged=tuple(flagged) if site.flagged else (),
            )
            offered.append(_offered(ls, action, title, chosen, diagnostics))
    return offered


def _possible(ls: InklingServer, only: Sequence[str] | None) -> Iterator[Action]:
    """Yield what the model can do, of the kinds that are asked for."""
    status = ls.engine.status()
    for action in ACTIONS:
        can = status.follows_instructions if action.is_instructed else status.fills_holes
        is_large = status.model_bytes >= action.min_model_bytes
        is_asked = not only or any(f"{action.kind}.".startswith(f"{kind}.") for kind in only)
        if can and is_large and is_asked:
            yield action


def _offered(
    ls: InklingServer,
    action: Action,
    title: str,
    chosen: Chosen,
    diagnostics: Sequence[types.Diagnostic],
) -> types.CodeAction:
    data = msgspec.to_builtins(chosen)
    tags = [types.CodeActionTag.LlmGenerated] if ls.client.tags_code_actions else None
    offered = types.CodeAction(title, action.kind, tags=tags)
    if action.kind == types.CodeActionKind.QuickFix:
        offered.diagnostics = [diagnostics[chosen.which]]
    if ls.client.resolves_code_actions and action.edits:
        offered.data = data
    else:
        offered.command = types.Command(title, RUN, arguments=[data])
    return offered


async def resolve(ls: InklingServer, action: types.CodeAction) -> types.CodeAction:
    """Fill in the edit; a code action for which nothing good came is disabled, with the reason.

    One that is not of this server is resolved to itself.
    """
    chosen = _chosen(action.data)
    if chosen is None:
        return action
    document, outcome, base = await _computed(ls, chosen)
    match outcome:
        case Edit(is_sure=is_sure):
            action.edit = _edit_of(ls, document, outcome, base, action.title)
            action.is_preferred = is_sure or None
        case NewFile():
            action.edit = new_file_edit(document, outcome.name, outcome.text)
        case _:
            action.disabled = types.CodeActionDisabled(NOTHING)
    return action


NOTHING: Final = "the model had nothing to offer that is better than what stands there"


async def run_action(ls: InklingServer, arguments: Sequence[Any]) -> object:
    """Compute an action and have the client apply it. Arguments: what the code action carries."""
    chosen = _chosen(arguments[0] if len(arguments) == 1 else None)
    if chosen is None:
        raise refused("these are no arguments of a code action")
    document, outcome, base = await _computed(ls, chosen)
    label = "Inkling"
    match outcome:
        case Edit():
            await _apply(ls, _edit_of(ls, document, outcome, base, label), label)
        case NewFile(name=name, text=text) if ls.client.creates_files:
            await _apply(ls, new_file_edit(document, name, text), label)
        case NewFile(name=name, text=text):
            return {"uri": await show_text(ls, name, text)}
        case Shown(name=name, text=text) if ls.client.shows_virtual_documents:
            return {"uri": await show_text(ls, name, text + "\n")}
        case Shown(text=text, at=at):
            edit = comment_before(document, base + at, text)
            await _apply(ls, edit, label)
        case None:
            ls.window_show_message(types.ShowMessageParams(types.MessageType.Info, NOTHING))
    return {"applied": outcome is not None}


async def _apply(ls: InklingServer, edit: types.WorkspaceEdit, label: str) -> None:
    params = types.ApplyWorkspaceEditParams(edit, label)
    await ls.protocol.request(types.WORKSPACE_APPLY_EDIT, params)


def _edit_of(
    ls: InklingServer, document: Document, edit: Edit, base: int, label: str
) -> types.WorkspaceEdit:
    return workspace_edit(
        document,
        base + edit.start,
        base + edit.end,
        edit.text,
        label=label if ls.client.annotates_edits else "",
        is_versioned=ls.client.versions_edits,
    )


async def _computed(ls: InklingServer, chosen: Chosen) -> tuple[Document, Outcome, int]:
    """Return the document, what came for it, and the offset that the outcome's offsets start at."""
    document = ls.documents.get(chosen.uri)
    action = next((action for action in ACTIONS if action.name == chosen.action), None)
    if action is None:
        raise refused("there is no such action")
    if document is None or document.version != chosen.version:
        raise _modified()
    base, site = site_in(document, chosen.start, chosen.end, chosen.flagged)
    async with progress(ls, "Inkling"):
        outcome = await action.compute(site, chosen.which, EngineAsk(ls.engine, document))
    if ls.documents.get(chosen.uri) is not document:
        raise _modified()
    return document, outcome, base


def _modified() -> JsonRpcException:
    reason = "the document has changed since this was offered"
    return JsonRpcException(reason, types.LSPErrorCodes.ContentModified)


def _chosen(data: object) -> Chosen | None:
    """Return what a code action of this server carries, None for what is none of ours."""
    try:
        return msgspec.convert(data, type=Chosen)
    except msgspec.ValidationError:
        return None


def site_in(
    document: Document, start: int, end: int, flagged: Sequence[tuple[int, int, str]]
) -> tuple[int, Site]:
    """Return what an action sees of a document, and the document's offset of its beginning."""
    start, end = sorted((max(0, start), max(0, end)))
    start, end = (min(place, document.lines.num_characters) for place in (start, end))
    base = max(0, start - MAX_TEXT_CHARACTERS // 2)
    text = document.lines.between(base, end + MAX_TEXT_CHARACTERS // 2)
    spans = [
        Flagged(first - base, last - base, message, index)
        for index, (first, last, message) in enumerate(flagged)
        if base <= first <= last <= base + len(text)
    ]
    return base, Site(text, document.language_id, start - base, end - base, spans)


def _flagged(document: Document, diagnostic: types.Diagnostic) -> tuple[int, int, str]:
    start, end = (
        document.offset_at(diagnostic.range.start),
        document.offset_at(diagnostic.range.end),
    )
    return start, end, diagnostic.message


OPTIONS: Final = types.CodeActionOptions(
    code_action_kinds=sorted({action.kind for action in ACTIONS}),
    resolve_provider=True,
)

FEATURES: Final = (
    Feature(types.TEXT_DOCUMENT_CODE_ACTION, OPTIONS, code_action),
    Feature(types.CODE_ACTION_RESOLVE, None, resolve),
)
