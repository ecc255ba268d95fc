"""Decide whether to ask the engine at all, and say why not."""

from enum import Enum, StrEnum, auto

from lsp_server.documents import Document
from lsp_server.settings import Settings


class Trigger(Enum):
    """What made the client ask. A menu does not tell whether the user or the typing opened it."""

    AUTOMATIC = auto()
    INVOKED = auto()
    MENU = auto()


class Silence(StrEnum):
    """Why there is no answer. Written to the log, never shown."""

    DISABLED = "disabled"
    ONLY_ON_REQUEST = "only on request"
    TOO_LARGE = "the document is too large"
    BLANK = "the document is blank"
    LANGUAGE = "the language is switched off"
    SELECTED = "nothing can be shown that extends what the menu has selected"


def silence(settings: Settings, document: Document, trigger: Trigger) -> Silence | None:
    """Return the reason to answer nothing, None to go on."""
    if not settings.enable:
        return Silence.DISABLED
    if not settings.languages.get(document.language_id, True):
        return Silence.LANGUAGE
    if trigger is Trigger.AUTOMATIC and not settings.automatic:
        return Silence.ONLY_ON_REQUEST
    if document.lines.num_bytes > settings.max_document_bytes:
        return Silence.TOO_LARGE
    if document.lines.is_blank:
        return Silence.BLANK
    return None
