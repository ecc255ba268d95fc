"""Turn a hole into the token ids a model reads, in a layout.

Pure. What of the hole is shown, layout.py decides; how it is laid out, the model's template.
"""

from collections.abc import Callable

import msgspec

from inference.decoding.budget import Encode
from inference.decoding.layout import Hole, Layout
from inference.fim import FimTemplate


class Prompt(msgspec.Struct, frozen=True):
    """`held_back` is the prefix's last token where it is not shown, see healing.py.

    `num_files` other files are shown, too.
    """

    token_ids: list[int]
    held_back: int | None
    num_files: int = 0


def whole_prompt(hole: Hole, layout: Layout, fim: FimTemplate | None, encode: Encode) -> list[int]:
    """Return the prompt; with no template the suffix is not shown.

    Never empty where there is a template; without one it is empty for an empty prefix.
    """
    head, tail = layout.parts(hole, encode)
    return _arranged(layout, fim, head, tail)


def open_prompt(
    hole: Hole,
    layout: Layout,
    fim: FimTemplate | None,
    encode: Encode,
    *,
    can_heal: Callable[[int], bool],
) -> Prompt:
    """Return the same prompt without the prefix's last token, where that can be healed."""
    head, tail = layout.parts(hole, encode)
    last = tail or head
    num_needed = 1 if fim else 2  # there is something to read in any case
    is_open = len(last) >= num_needed and can_heal(last[-1])
    held_back = last.pop() if is_open else None
    return Prompt(_arranged(layout, fim, head, tail), held_back, layout.beside.num_files)


def _arranged(
    layout: Layout, fim: FimTemplate | None, head: list[int], tail: list[int]
) -> list[int]:
    own = fim.arrange(head, layout.suffix_ids, tail) if fim else head
    return [*layout.beside.token_ids, *own]
