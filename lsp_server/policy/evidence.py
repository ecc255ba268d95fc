"""Say what speaks for a completion and what against it, in numbers. Pure.

The numbers are what prior.py weighs: how sure the model was, how much it wrote, what the place is,
what the text does to the syntax, and whether it names things that occur nowhere.
"""

import math
import re
from typing import Final

import msgspec

from inference import Completion, CompletionRequest, line_before, line_behind

NAME: Final = re.compile(r"[^\W\d]\w{2,}")
MAX_NAMES: Final = 32
UNSURE: Final = -12.0
"""No logarithm counts as lower: one impossible token is as good as another."""

MAX_ERRORS: Final = 3


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All fields are plain numbers of a size of about one, so that weights can be compared.

    `mean`, `lowest` and `first` are natural logarithms of the probabilities of the first tokens.
    `unknown` is the share of the names in the text that stand nowhere in the document around it.
    """

    mean: float
    lowest: float
    first: float
    length: float
    lines: float
    comment: float
    string: float
    new_errors: float
    mended_errors: float
    unknown: float
    follows_on_line: float
    line_is_empty: float
    behind_word: float


FIELDS: Final = Evidence.__struct_fields__


def evidence(request: CompletionRequest, completion: Completion) -> Evidence:
    """Return what speaks for and against showing `completion`, which has text."""
    logs = [max(value, UNSURE) for value in completion.log_probabilities] or [UNSURE]
    syntax = completion.syntax
    new_errors = 0 if syntax is None else syntax.num_errors_after - syntax.num_errors_before
    before = line_before(request.prefix)
    behind = line_behind(request.suffix)
    return Evidence(
        mean=sum(logs) / len(logs),
        lowest=min(logs) / 4,
        first=logs[0],
        length=math.log1p(len(completion.text)) / 4,
        lines=math.log1p(completion.text.count("\n")),
        comment=float(syntax is not None and syntax.scope == "comment"),
        string=float(syntax is not None and syntax.scope in ("string", "docstring")),
        new_errors=min(max(new_errors, 0), MAX_ERRORS),
        mended_errors=min(max(-new_errors, 0), MAX_ERRORS),
        unknown=_share_of_unknown(request, completion.text),
        follows_on_line=float(bool(behind.strip())),
        line_is_empty=float(not before.strip()),
        behind_word=float(before[-1:].isalnum() or before.endswith("_")),
    )


def _share_of_unknown(request: CompletionRequest, text: str) -> float:
    """Return that of the names; the one that the cursor stands in is looked up whole."""
    begun = re.search(r"\w*\Z", line_before(request.prefix))
    whole = (begun[0] if begun else "") + text
    names = [match[0] for match in NAME.finditer(whole)][:MAX_NAMES]
    if not names:
        return 0.0
    around = request.prefix, request.suffix
    return sum(all(name not in side for side in around) for name in names) / len(names)
