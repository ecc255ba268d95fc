"""Choose which part of a long file the model is shown, so that typing does not move its edges.

Pure, and in characters: it bounds the work of the tokenizer before prompt.py counts tokens.
An edge that moved with every keystroke would change the first token and empty the cache.
"""

from typing import Final

MAX_CHARACTERS_PER_TOKEN: Final = 8
"""Longer text than this per token of budget is never looked at; code averages 3 to 4."""


def nearby_prefix(prefix: str, max_tokens: int) -> str:
    """Return the end of `prefix`, starting at a line, at an edge that moves in strides only."""
    max_characters = max_tokens * MAX_CHARACTERS_PER_TOKEN
    surplus = len(prefix) - max_characters
    if surplus <= 0:
        return prefix
    edge = strides_over(surplus, max_characters // 4)
    newline = prefix.find("\n", edge)
    return prefix[newline + 1 :] if newline >= 0 else prefix[edge:]


def nearby_suffix(suffix: str, max_tokens: int) -> str:
    """Return the beginning of `suffix`; it stands still while one types in front of it."""
    return suffix[: max_tokens * MAX_CHARACTERS_PER_TOKEN]


def strides_over(surplus: int, stride: int) -> int:
    """Round `surplus` up to whole strides."""
    stride = max(1, stride)
    return -(-surplus // stride) * stride
