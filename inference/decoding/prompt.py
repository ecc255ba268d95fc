"""Turn prefix and suffix into the token ids a model reads, under a budget.

Pure. When a file is longer than the budget, the prefix loses its first tokens in strides of a
quarter of its share, so the prompt's beginning stays put for many keystrokes and the cache with it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from inference.decoding.context import nearby_prefix, nearby_suffix, strides_over
from inference.fim import FimTemplate

Encode = Callable[[str], Sequence[int]]

SUFFIX_SHARE: Final = 4
"""The suffix gets at most one token in so many; what it leaves the prefix takes."""


class Prompt(msgspec.Struct, frozen=True):
    """`held_back` is the prefix's last token where it is not shown, see healing.py."""

    token_ids: list[int]
    held_back: int | None


def whole_prompt(
    prefix: str, suffix: str, fim: FimTemplate | None, encode: Encode, *, max_tokens: int
) -> list[int]:
    """Return at most `max_tokens` ids; with no template the suffix is not shown.

    Never empty where there is a template; without one it is empty for an empty prefix.
    """
    prefix_ids, suffix_ids = _parts(prefix, suffix, fim, encode, max_tokens=max_tokens)
    return fim.arrange(prefix_ids, suffix_ids) if fim else prefix_ids


def open_prompt(
    prefix: str,
    suffix: str,
    fim: FimTemplate | None,
    encode: Encode,
    *,
    max_tokens: int,
    can_heal: Callable[[int], bool],
) -> Prompt:
    """Return the same prompt without the prefix's last token, where that can be healed."""
    prefix_ids, suffix_ids = _parts(prefix, suffix, fim, encode, max_tokens=max_tokens)
    num_needed = 1 if fim else 2  # there is something to read in any case
    is_open = len(prefix_ids) >= num_needed and can_heal(prefix_ids[-1])
    held_back = prefix_ids.pop() if is_open else None
    return Prompt(fim.arrange(prefix_ids, suffix_ids) if fim else prefix_ids, held_back)


def _parts(
    prefix: str, suffix: str, fim: FimTemplate | None, encode: Encode, *, max_tokens: int
) -> tuple[list[int], Sequence[int]]:
    if fim is None:
        return _keep_end(encode(nearby_prefix(prefix, max_tokens)), max_tokens), ()
    budget = max(0, max_tokens - fim.num_special_tokens)
    max_suffix = budget // SUFFIX_SHARE
    suffix_ids = encode(nearby_suffix(suffix, max_suffix))[:max_suffix]
    max_prefix = budget - len(suffix_ids)
    prefix_ids = _keep_end(encode(nearby_prefix(prefix, max_prefix)), max_prefix)
    return prefix_ids, suffix_ids


def _keep_end(token_ids: Sequence[int], max_tokens: int) -> list[int]:
    surplus = len(token_ids) - max_tokens
    if surplus <= 0:
        return list(token_ids)
    return list(token_ids[strides_over(surplus, max_tokens // 4) :])
