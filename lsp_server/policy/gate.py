"""Decide whether to ask the engine at all, and say why not. What it answers, judge.py judges."""

from collections.abc import Callable
from enum import Enum, StrEnum, auto
from typing import Final

from lsp_server.documents import Document
from lsp_server.policy.secrets import is_secret_file
from lsp_server.settings import Level, Settings

CLOSING: Final = frozenset(")]}>\"'`;,: \t")
"""What may stand behind the cursor on its line without being pushed aside by a suggestion."""


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
    SECRET_FILE = "such a file usually holds secrets"  # noqa: S105 - a reason, no secret
    IGNORED = "an ignore file names it"
    SHORT = "too little stands before the cursor on its line"
    IN_FRONT_OF_TEXT = "it would push aside what stands behind the cursor"
    AFTER_DELETION = "something was just deleted"
    COMMENT = "comments are left alone"
    STRING = "strings are left alone"
    SECRET = "it looks like a secret"  # noqa: S105 - a reason, no secret
    REJECTED = "the same was rejected lately"
    IMPROBABLE = "it is not likely to be what is wanted"
    SELECTED = "nothing can be shown that extends what the menu has selected"


def silence(settings: Settings, document: Document, trigger: Trigger) -> Silence | None:
    """Return the reason to answer nothing in a document, None to go on."""
    is_typing, lines = trigger is Trigger.AUTOMATIC, document.lines
    rules: dict[Silence, Callable[[], bool]] = {  # in this order, no further than to one that holds
        Silence.DISABLED: lambda: not settings.enable,
        Silence.LANGUAGE: lambda: not settings.languages.get(document.language_id, True),
        Silence.ONLY_ON_REQUEST: lambda: is_typing and not settings.automatic,
        Silence.TOO_LARGE: lambda: lines.num_bytes > settings.max_document_bytes,
        Silence.BLANK: lambda: lines.is_blank,
        Silence.SECRET_FILE: lambda: is_secret_file(document.uri),
    }
    return next((reason for reason, holds in rules.items() if holds()), None)


def silence_at(settings: Settings, before: str, behind: str, trigger: Trigger) -> Silence | None:
    """Return the reason to answer nothing at a place, None to go on.

    `before` and `behind` are what stands on the cursor's line. Who asks is answered anywhere.
    """
    if trigger is not Trigger.AUTOMATIC:
        return None
    if len("".join(before.split())) < settings.min_prefix:
        return Silence.SHORT
    if settings.level is not Level.EAGER and not CLOSING.issuperset(behind):
        return Silence.IN_FRONT_OF_TEXT
    return None
