"""Find what of the user's other texts is about the same as the place that is edited.

Texts are cut at line ends into snippets of some lines. A snippet is the better the more tokens it
shares with what stands around the cursor, and the rarer these are (inverse document frequency,
Spärck Jones 1972): names that two places have in common, not brackets.

Pure; what is found goes into a prompt as it is written there (inference.fim), the best last.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.completion import owner_of
from inference.recall.index import TokenIds

SNIPPET_TOKENS: Final = 96
"""About ten lines; it ends with the line in which it has so many."""

MIN_SHARED: Final = 0.1
"""Of all that the surroundings have: what shares less is about something else."""

Flags = npt.NDArray[np.bool_]


class Snippet(msgspec.Struct, frozen=True):
    """Consecutive tokens of one text."""

    name: str
    token_ids: TokenIds


class CutText(msgspec.Struct, frozen=True):
    """A text's tokens, where its snippets begin and end, and each one's different tokens."""

    token_ids: TokenIds
    edges: npt.NDArray[np.int64]  # [num_snippets + 1]
    distinct: TokenIds  # one snippet's after the other's
    num_distinct: npt.NDArray[np.int64]  # [num_snippets]


def cut(token_ids: TokenIds, ends_line: Flags) -> CutText:
    """Cut a text; `ends_line`, [vocab_size], says which tokens end a line."""
    line_ends = np.flatnonzero(ends_line[token_ids]) + 1
    edges = [0]
    while edges[-1] < len(token_ids):
        wanted = edges[-1] + SNIPPET_TOKENS
        place = int(np.searchsorted(line_ends, wanted))
        edge = int(line_ends[place]) if place < len(line_ends) else len(token_ids)
        edges.append(min(edge, wanted + SNIPPET_TOKENS, len(token_ids)))
    parts = [np.unique(token_ids[edges[i] : edges[i + 1]]) for i in range(len(edges) - 1)]
    return CutText(
        token_ids,
        np.array(edges),
        np.concatenate([np.zeros(0, np.int32), *parts]),
        np.array([len(part) for part in parts], np.int64),
    )


class Snippets:
    """All snippets of some texts; it does not change."""

    def __init__(self, texts: Mapping[str, CutText]) -> None:
        self._texts = list(texts.items())
        nothing = np.zeros(0, np.int32)
        self._distinct = np.concatenate([nothing, *(text.distinct for text in texts.values())])
        num_distinct = np.concatenate([nothing, *(text.num_distinct for text in texts.values())])
        self._snippet_of = np.repeat(np.arange(len(num_distinct)), num_distinct)
        self._num_snippets = len(num_distinct)
        self._firsts = [0, *accumulate(len(text.num_distinct) for text in texts.values())]

    def about(
        self, around: Sequence[int], *, but: AbstractSet[str], owner: str, max_tokens: int
    ) -> Sequence[Snippet]:
        """Return what is about the same as `around`, the best text last, each in its order.

        Together they have `max_tokens` at most. Texts in `but` and of other owners say nothing.
        """
        scores = self._scores(np.unique(np.asarray(around, np.int64)))
        for index, (name, _) in enumerate(self._texts):
            if name in but or owner_of(name) != owner:
                scores[self._firsts[index] : self._firsts[index + 1]] = 0
        chosen = dict[int, list[int]]()  # by text, in the order in which texts were chosen
        num_left = max_tokens
        for snippet in np.argsort(-scores, kind="stable").tolist():
            if scores[snippet] < MIN_SHARED or num_left < SNIPPET_TOKENS // 2:
                break
            index = bisect_right(self._firsts, snippet) - 1
            number = snippet - self._firsts[index]
            edges = self._texts[index][1].edges
            if edges[number + 1] - edges[number] <= num_left:
                num_left -= int(edges[number + 1] - edges[number])
                chosen.setdefault(index, []).append(number)
        return [self._joined(index, sorted(chosen[index])) for index in reversed(chosen)]

    def _scores(self, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return which share of what is wanted each snippet has, rarer tokens counting for more."""
        if not len(self._distinct) or not len(wanted):
            return np.zeros(self._num_snippets)
        size = 1 + max(int(self._distinct.max()), int(wanted.max()))
        is_wanted = np.zeros(size, np.bool_)
        is_wanted[wanted] = True
        found = np.flatnonzero(is_wanted[self._distinct])
        num_with = np.bincount(self._distinct[found], minlength=size)
        weights = np.log((1 + self._num_snippets) / (1 + num_with))
        shared = weights[self._distinct[found]]
        scores = np.bincount(self._snippet_of[found], shared, self._num_snippets).astype(np.float64)
        # What stands nowhere else can be shared with nobody.
        total = float(weights[wanted[num_with[wanted] > 0]].sum())
        return scores / total if total else scores

    def _joined(self, index: int, numbers: Sequence[int]) -> Snippet:
        name, text = self._texts[index]
        parts = [text.token_ids[text.edges[i] : text.edges[i + 1]] for i in numbers]
        return Snippet(name, np.concatenate(parts))
