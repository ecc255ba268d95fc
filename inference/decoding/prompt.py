"""Turn prefix and suffix into the token ids a model reads, under a budget.

Pure. What of them is shown, budget.py decides; how a hole is laid out, the model's template.
"""

from collections.abc import Callable, Sequence

import msgspec

from inference.decoding.budget import SUFFIX_SHARE, Encode, prefix_tokens, suffix_tokens
from inference.fim import FimTemplate


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """The text around the cursor; `num_skipped` characters of the document precede `prefix`."""

    prefix: str
    suffix: str
    num_skipped: int = 0


class Prompt(msgspec.Struct, frozen=True):
    """`held_back` is the prefix's last token where it is not shown, see healing.py."""

    token_ids: list[int]
    held_back: int | None


def whole_prompt(
    hole: Hole, fim: FimTemplate | None, encode: Encode, *, max_tokens: int
) -> list[int]:
    """Return at most `max_tokens` ids; with no template the suffix is not shown.

    Never empty where there is a template; without one it is empty for an empty prefix.
    """
    prefix_ids, suffix_ids = _parts(hole, fim, encode, max_tokens=max_tokens)
    return fim.arrange(prefix_ids, suffix_ids) if fim else prefix_ids


def open_prompt(
    hole: Hole,
    fim: FimTemplate | None,
    encode: Encode,
    *,
    max_tokens: int,
    can_heal: Callable[[int], bool],
) -> Prompt:
    """Return the same prompt without the prefix's last token, where that can be healed."""
    prefix_ids, suffix_ids = _parts(hole, fim, encode, max_tokens=max_tokens)
    num_needed = 1 if fim else 2  # there is something to read in any case
    is_open = len(prefix_ids) >= num_needed and can_heal(prefix_ids[-1])
    held_back = prefix_ids.pop() if is_open else None
    return Prompt(fim.arrange(prefix_ids, suffix_ids) if fim else prefix_ids, held_back)


def _parts(
    hole: Hole, fim: FimTemplate | None, encode: Encode, *, max_tokens: int
) -> tuple[list[int], Sequence[int]]:
    layout = fim.num_special_tokens if fim else 0
    budget = max(0, max_tokens - layout)
    suffix_ids: Sequence[int] = ()
    if fim is not None:
        suffix_ids = suffix_tokens(hole.suffix, encode, max_tokens=budget // SUFFIX_SHARE)
    max_prefix = budget - len(suffix_ids)
    prefix_ids = prefix_tokens(
        hole.prefix, encode, max_tokens=max_prefix, num_skipped=hole.num_skipped
    )
    return prefix_ids, suffix_ids
