"""Know what a client can do, from what it says of itself in `initialize`.

Read from plain JSON: LSP's types refuse all of it for one enumeration value they do not know, which
would shut newer clients out, and they take 50 ms to learn to read it (measured).
"""

from collections.abc import Mapping
from typing import Final, cast

import msgspec
from lsprotocol.types import CodeActionTag, InsertTextMode, PositionEncodingKind

ENCODINGS: Final = (
    PositionEncodingKind.Utf8,
    PositionEncodingKind.Utf32,
    PositionEncodingKind.Utf16,
)
"""Best first, as far as a client lists them; one that lists nothing speaks utf-16 (LSP 3.18)."""


class ClientProfile(msgspec.Struct, frozen=True):
    """`shows_inline_completion`: it asks for ghost text; a menu must not repeat that.

    `resolves_documentation` and `keeps_insert_text` are of the menu's items: it asks for an item's
    documentation when it shows it, and it can leave the indentation of what it inserts alone.
    `answers_configuration`: it may be asked for settings. `registers_*`: what it sends only to
    servers that register for it. `shows_documents`: it opens a document when it is asked to.
    `shows_virtual_documents`: it asks for the text of a document that is no file. Of code actions:
    it asks for the edit of one that was chosen, shows who wrote it, takes edits for a version of a
    document, shows what an edit is for, and creates files.
    """

    name: str = ""
    version: str = ""
    process_id: int | None = None
    position_encoding: PositionEncodingKind = PositionEncodingKind.Utf16
    shows_inline_completion: bool = False
    resolves_documentation: bool = False
    keeps_insert_text: bool = False
    answers_configuration: bool = False
    registers_configuration: bool = False
    registers_watched_files: bool = False
    shows_progress: bool = False
    shows_virtual_documents: bool = False
    resolves_code_actions: bool = False
    tags_code_actions: bool = False
    versions_edits: bool = False
    annotates_edits: bool = False
    creates_files: bool = False
    shows_documents: bool = False


def client_profile(params: Mapping[str, object]) -> ClientProfile:
    """Return what the parameters of `initialize` say; what makes no sense in them is not there."""
    process_id = params.get("processId")
    text_document = _at(params, "capabilities", "textDocument")
    workspace = _at(params, "capabilities", "workspace")
    code_action, edits = _at(text_document, "codeAction"), _at(workspace, "workspaceEdit")
    item = _at(text_document, "completion", "completionItem")
    return ClientProfile(
        name=_text(params, "clientInfo", "name"),
        version=_text(params, "clientInfo", "version"),
        process_id=process_id if type(process_id) is int else None,
        position_encoding=_position_encoding(params),
        shows_inline_completion=_at(text_document, "inlineCompletion") is not None,
        resolves_documentation=_lists(item, "documentation", "resolveSupport", "properties"),
        keeps_insert_text=_lists(item, InsertTextMode.AsIs, "insertTextModeSupport", "valueSet"),
        answers_configuration=_at(workspace, "configuration") is True,
        registers_configuration=_registers(workspace, "didChangeConfiguration"),
        registers_watched_files=_registers(workspace, "didChangeWatchedFiles"),
        shows_progress=_at(params, "capabilities", "window", "workDoneProgress") is True,
        shows_documents=_at(params, "capabilities", "window", "showDocument", "support") is True,
        shows_virtual_documents=isinstance(_at(workspace, "textDocumentContent"), dict),
        resolves_code_actions=_lists(code_action, "edit", "resolveSupport", "properties"),
        tags_code_actions=_lists(code_action, CodeActionTag.LlmGenerated, "tagSupport", "valueSet"),
        versions_edits=_at(edits, "documentChanges") is True,
        annotates_edits=isinstance(_at(edits, "changeAnnotationSupport"), dict),
        creates_files=_at(edits, "documentChanges") is True
        and _lists(edits, "create", "resourceOperations"),
    )


def _position_encoding(params: Mapping[str, object]) -> PositionEncodingKind:
    offered = _at(params, "capabilities", "general", "positionEncodings")
    if not isinstance(offered, list):
        return PositionEncodingKind.Utf16
    return next((kind for kind in ENCODINGS if kind in offered), PositionEncodingKind.Utf16)


def _lists(value: object, member: object, *names: str) -> bool:
    listed = _at(value, *names)
    return isinstance(listed, list) and member in listed


def _registers(workspace: object, name: str) -> bool:
    return _at(workspace, name, "dynamicRegistration") is True


def _text(params: Mapping[str, object], *names: str) -> str:
    value = _at(params, *names)
    return value if isinstance(value, str) else ""


def _at(value: object, *names: str) -> object:
    for name in names:
        value = cast("Mapping[str, object]", value).get(name) if isinstance(value, dict) else None
    return value
