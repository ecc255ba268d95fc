"""Turn prefix and suffix into the token ids a model reads, under a budget.

Pure. When a file is longer than the budget, the prefix loses its first tokens in strides of a
quarter of its share, so the prompt's beginning stays put for many keystrokes and the cache with it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from inference.context import nearby_prefix, nearby_suffix, strides_over
from inference.fim import FimTemplate

Encode = Callable[[str], Sequence[int]]

SUFFIX_SHARE: Final = 4
"""The suffix gets at most one token in so many; what it leaves the prefix takes."""


def build_prompt(
    prefix: str, suffix: str, fim: FimTemplate | None, encode: Encode, *, max_tokens: int
) -> list[int]:
    """Return at most `max_tokens` ids; with no template the suffix is not shown.

    Never empty where there is a template; without one it is empty for an empty prefix.
    """
    if fim is None:
        return _keep_end(encode(nearby_prefix(prefix, max_tokens)), max_tokens)
    budget = max(0, max_tokens - fim.num_special_tokens)
    max_suffix = budget // SUFFIX_SHARE
    suffix_ids = encode(nearby_suffix(suffix, max_suffix))[:max_suffix]
    max_prefix = budget - len(suffix_ids)
    prefix_ids = _keep_end(encode(nearby_prefix(prefix, max_prefix)), max_prefix)
    return fim.arrange(prefix_ids, suffix_ids)


def _keep_end(token_ids: Sequence[int], max_tokens: int) -> list[int]:
    surplus = len(token_ids) - max_tokens
    if surplus <= 0:
        return list(token_ids)
    return list(token_ids[strides_over(surplus, max_tokens // 4) :])
