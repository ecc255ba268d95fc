"""Decide how much to write and how soon, depending on who asks; where it ends, the engine."""

from typing import Final

from lsp_server.policy.gate import Trigger
from lsp_server.settings import Settings

INVOKED_FACTOR: Final = 2
"""Who asks is ready to wait: an invoked completion may be so many times as long."""


def max_tokens(settings: Settings, trigger: Trigger) -> int:
    return settings.max_tokens * (INVOKED_FACTOR if trigger is Trigger.INVOKED else 1)


def num_candidates(settings: Settings, trigger: Trigger) -> int:
    """Return how many texts to choose from; only who asks is ready to wait for more than one."""
    return settings.candidates if trigger is Trigger.INVOKED else 1


def first_text_ms(settings: Settings, trigger: Trigger) -> int:
    """Return the time in which lines are to be shown; who asks waits for all of them."""
    return settings.deadline_ms if trigger is Trigger.INVOKED else settings.first_text_ms
