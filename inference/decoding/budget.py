"""How much of a file a prompt shows and how much may be written: one budget, spent in one place.

Pure. A model's context is shared between reading and writing; what is read is shared between prefix
and suffix. Characters bound the work of the tokenizer, then tokens are counted.

An edge that moved with every keystroke would change the first token and empty the cache. So both
cuts of the prefix move in strides, and that of characters counts from the document's beginning:
a caller may have cut the prefix wherever it liked, as long as it says how much is missing.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from inference.completion import MAX_TEXT_CHARACTERS

MAX_PROMPT_TOKENS: Final = 2_048
"""Reading this much cold takes under a second with 35M active parameters on two cores; what comes
after is incremental. A model with a longer context is not made to wait for all of it."""

WRITING_SHARE: Final = 4
"""Writing gets at most one token of the context in so many: what is not read cannot be right."""

SUFFIX_SHARE: Final = 4
"""The suffix gets at most one token in so many; what it leaves the prefix takes."""

BESIDE_SHARE: Final = 4
"""Other files get at most one token in so many."""

MAX_CHARACTERS_PER_TOKEN: Final = 8
"""Longer text than this per token of budget is never looked at; code averages 3 to 4."""

STRIDES: Final = 4
"""An edge moves by one of so many parts of what is kept."""


class Encode(Protocol):
    def __call__(self, text: str, *, is_beginning: bool = False) -> Sequence[int]:
        """Return the tokens of a text in the middle of a document, or at its beginning."""
        ...


class Budget(msgspec.Struct, frozen=True):
    """Tokens to read at most, and to write at most."""

    max_prompt: int
    max_new: int


def budget_for(context_length: int, wanted: int) -> Budget:
    """Share a context of which `wanted` tokens are asked to be written; each gets one at least."""
    max_new = min(wanted, max(1, context_length // WRITING_SHARE))
    return Budget(max(1, min(MAX_PROMPT_TOKENS, context_length - max_new)), max_new)


def suffix_tokens(suffix: str, encode: Encode, *, max_tokens: int) -> Sequence[int]:
    """Return the beginning of the suffix; it stands still while one types in front of it."""
    return encode(suffix[: max_tokens * MAX_CHARACTERS_PER_TOKEN])[:max_tokens]


def nearby_prefix(prefix: str, max_tokens: int, num_skipped: int) -> str:
    """Return the end of `prefix`, starting at a line, at an edge that moves in strides only."""
    # A caller that skipped anything sent MAX_TEXT_CHARACTERS, so the edge lies in what it sent.
    max_characters = min(max_tokens * MAX_CHARACTERS_PER_TOKEN, MAX_TEXT_CHARACTERS)
    surplus = num_skipped + len(prefix) - max_characters
    if surplus <= 0:
        return prefix
    edge = max(0, _strides_over(surplus, max_characters) - num_skipped)
    newline = prefix.find("\n", edge)
    return prefix[newline + 1 :] if newline >= 0 else prefix[edge:]


def num_surplus(num_tokens: int, max_tokens: int) -> int:
    """Return how many tokens of a prefix are left out from its beginning, in whole strides."""
    return _strides_over(num_tokens - max_tokens, max_tokens) if num_tokens > max_tokens else 0


def _strides_over(surplus: int, kept: int) -> int:
    """Round `surplus` up to whole strides."""
    stride = max(1, kept // STRIDES)
    return -(-surplus // stride) * stride
