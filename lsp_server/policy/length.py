"""Decide how much to write, depending on who asks; the rest of a line or a block, the engine."""

from typing import Final

from lsp_server.policy.gate import Trigger
from lsp_server.settings import Settings

INVOKED_FACTOR: Final = 2
"""Who asks is ready to wait: an invoked completion may be so many times as long."""


def max_tokens(settings: Settings, trigger: Trigger) -> int:
    return settings.max_tokens * (INVOKED_FACTOR if trigger is Trigger.INVOKED else 1)
