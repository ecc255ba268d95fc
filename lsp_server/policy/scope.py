"""Decide how much to write at a place: the rest of a line, or a block."""

from typing import Final

from inference import Scope
from lsp_server.documents import Document
from lsp_server.policy.gate import Trigger
from lsp_server.settings import Settings

INVOKED_FACTOR: Final = 2
"""Who asks is ready to wait: an invoked completion may be so many times as long."""


def scope_at(document: Document, offset: int) -> Scope:
    """Return "line" where something follows on the line: a block would push it down."""
    _, after = document.around(offset)
    return "line" if after.strip() else "block"


def max_tokens(settings: Settings, trigger: Trigger) -> int:
    return settings.max_tokens * (INVOKED_FACTOR if trigger is Trigger.INVOKED else 1)
