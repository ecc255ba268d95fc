"""Guess the next tokens, so that one run of the model verifies several instead of writing one.

A run of a few tokens takes little longer than a run of one, since all weights are read anyway: of
0.5B parameters two take 1.18 times as long, four 1.48, eight 2.23. A guess that is right saves the
runs of its tokens; one that is wrong costs what the run took longer. Code says much of what it says
again, so what stood behind the last tokens where they stood before is a good guess ("prompt lookup
decoding", Saxena 2023); the text is what the model would have written alone.

How long a guess may be is learned while writing: from how often guesses like it were right, and
from what runs take. Where it does not pay, it is zero. A predictor that a package brings along is
asked where what was written before promises less: it guesses anywhere, and takes time for that.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from inference.decoding.pace import WEIGHT, Pace
from inference.recall.index import MAX_MATCHED, Recall
from inference.runtime.language_model import Predictor
from inference.timing import now_ms

TokenIds = npt.NDArray[np.int64]

MAX_DRAFT: Final = 8
"""Tokens of one guess; behind so many, hardly one was ever right."""

MIN_MATCH: Final = 2
MAX_MATCH: Final = 6
"""Tokens that must stand before a guess as they stand at the end, and beyond which more says no
more."""

FIRST_SEEN: Final = (2.4, 4.0)
"""What is believed of guesses before any was made: so many tokens were right, of so many."""

MEMORY: Final = 0.97
"""What a trial still counts for after the next one of its kind."""


class Draft(msgspec.Struct, frozen=True):
    """Tokens that may come next; `num_matched` tokens before them spoke for them."""

    token_ids: Sequence[int]
    num_matched: int
    drafter: str


NO_DRAFT: Final = Draft((), 0, "")


class Drafter(Protocol):
    """One way to guess. It sees what was read and written, and knows nothing of the model."""

    @property
    def name(self) -> str: ...

    def draft(self, token_ids: TokenIds, max_tokens: int) -> Draft | None:
        """Return a guess at what follows `token_ids`, at most so long; None if there is none."""
        ...


class PromptLookup:
    """What followed the last tokens where they stood before, in the same prompt."""

    name = "prompt"

    def draft(self, token_ids: TokenIds, max_tokens: int) -> Draft | None:
        found = longest_match(token_ids[:-1], token_ids)
        return _behind(token_ids, found, max_tokens, self.name)


class EarlierTexts:
    """What followed the last tokens in completions that were written lately."""

    name = "earlier"

    def __init__(self, texts: Sequence[TokenIds]) -> None:
        self._texts = texts

    def draft(self, token_ids: TokenIds, max_tokens: int) -> Draft | None:
        best: Draft | None = None
        for text in reversed(self._texts):
            found = longest_match(text[:-1], token_ids)
            draft = _behind(text, found, max_tokens, self.name)
            if draft is not None and (best is None or draft.num_matched > best.num_matched):
                best = draft
        return best


class OtherTexts:
    """What followed the last tokens in other texts of the user's, see recall/."""

    name = "texts"

    def __init__(self, recall: Recall) -> None:
        self._recall = recall

    def draft(self, token_ids: TokenIds, max_tokens: int) -> Draft | None:
        found = self._recall(tuple(token_ids[-MAX_MATCHED:].tolist()))
        if found is None:
            return None
        following: list[int] = found.continuation[:max_tokens].tolist()
        return Draft(following, min(found.num_matched, MAX_MATCH), self.name)


class Match(msgspec.Struct, frozen=True):
    """`end` tokens of a text end in the same `num_tokens` as another text."""

    end: int
    num_tokens: int


def longest_match(text: TokenIds, context: TokenIds) -> Match | None:
    """Find where `text` holds most of the last tokens of `context`, the latest of such places."""
    if len(text) < MIN_MATCH or len(context) < MIN_MATCH:
        return None
    ends = np.flatnonzero(text == context[-1])
    num_tokens = 1
    while num_tokens < min(MAX_MATCH, len(context)):
        before = ends - num_tokens
        longer = ends[(before >= 0) & (text[before] == context[-1 - num_tokens])]
        if not len(longer):
            break
        ends, num_tokens = longer, num_tokens + 1
    if num_tokens < MIN_MATCH or not len(ends):
        return None
    return Match(end=int(ends[-1]) + 1, num_tokens=num_tokens)


class Rates:
    """How often the next token of a guess was right, by drafter and length of the match."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], tuple[float, float]] = {}

    def rate(self, draft: Draft) -> float:
        right, trials = self._seen.get((draft.drafter, draft.num_matched), FIRST_SEEN)
        return right / trials

    def note(self, draft: Draft, *, is_right: bool) -> None:
        """Take whether a token of a guess was right, all before it being so."""
        kind = (draft.drafter, draft.num_matched)
        right, trials = self._seen.get(kind, FIRST_SEEN)
        self._seen[kind] = (MEMORY * right + is_right, MEMORY * trials + 1)


class Worth(msgspec.Struct, frozen=True):
    """The length of a guess with which most tokens are written in a time, 0 for none; how many."""

    num_tokens: int
    speed: float


def worth(rate: float, pace: Pace, each_ms: float = 0.0) -> Worth:
    """Return how long a guess should be whose tokens take `each_ms` to guess.

    Of n tokens that are right with probability p each, the run yields (1 - p^(n+1)) / (1 - p).
    """
    speeds = [
        sum(rate**k for k in range(num_tokens + 1))
        / (pace.run_ms(1 + num_tokens) + each_ms * num_tokens)
        for num_tokens in range(MAX_DRAFT + 1)
    ]
    num_tokens = int(np.argmax(speeds))
    return Worth(num_tokens, speeds[num_tokens])


def num_worth(rate: float, pace: Pace) -> int:
    """Return how long a guess should be that takes no time."""
    return worth(rate, pace).num_tokens


Predict = Callable[[int], Sequence[int]]
"""Asks the predictor for so many tokens behind what was chosen last."""

PREDICTED: Final = Draft((), 0, "predictor")
"""The kind of a predictor's guesses."""


class Speculation:
    """What was learned of guessing with one model. Lives in the engine thread."""

    def __init__(self) -> None:
        self.rates = Rates()
        self.pace = Pace()
        """Of runs that return the logits of every token."""
        self.predicting_ms = 0.0
        """What the predictor takes for a token, once it was measured."""

    def predicted(self, num_tokens: int, milliseconds: float) -> None:
        """Take how long a guess of the predictor took."""
        each_ms = milliseconds / num_tokens
        before = self.predicting_ms or each_ms
        self.predicting_ms = before + WEIGHT * (each_ms - before)


class Guesses:
    """The guesses of one completion. None holds a token of `ends`, or goes on behind `is_last`."""

    def __init__(
        self,
        speculation: Speculation,
        drafters: Sequence[Drafter],
        ends: AbstractSet[int],
        is_last: Callable[[int], bool],
        predictor: Predictor | None = None,
    ) -> None:
        self.predictor = predictor
        self._speculation = speculation
        self._drafters = drafters
        self._ends = ends
        self._is_last = is_last
        self._history = np.zeros(0, np.int64)
        self._num_held = 0
        self._has_predicted = False

    def begin(self, token_ids: Sequence[int], capacity: int) -> None:
        """Take what was read so far; there will be at most `capacity` tokens."""
        self._history = np.empty(max(capacity, len(token_ids)) + 1, np.int64)
        self._history[: len(token_ids)] = token_ids
        self._num_held = len(token_ids)

    def written(self, token_id: int) -> None:
        self._history[self._num_held] = token_id
        self._num_held += 1

    def next(self, max_tokens: int, predict: Predict | None = None) -> Draft:
        """Return a guess that is worth its run, at most so long; an empty one if there is none."""
        if max_tokens <= 0:
            return NO_DRAFT
        found = self._looked_up(max_tokens)
        learned = self._speculation
        promised = worth(learned.rates.rate(found), learned.pace).speed if found.token_ids else 0.0
        if predict is not None:
            each_ms = learned.predicting_ms
            own = worth(learned.rates.rate(PREDICTED), learned.pace, each_ms)
            if own.num_tokens and own.speed > promised:
                return self._predicted(predict, min(own.num_tokens, max_tokens))
        return found

    def _predicted(self, predict: Predict, num_tokens: int) -> Draft:
        started = now_ms()
        token_ids = predict(num_tokens)
        if self._has_predicted:  # the first guess also reads the prompt
            self._speculation.predicted(num_tokens, now_ms() - started)
        self._has_predicted = True
        return msgspec.structs.replace(PREDICTED, token_ids=self._cut(token_ids))

    def _looked_up(self, max_tokens: int) -> Draft:
        history = self._history[: self._num_held]
        limit = min(MAX_DRAFT, max_tokens)
        drafts = (drafter.draft(history, limit) for drafter in self._drafters)
        best = max(
            (draft for draft in drafts if draft is not None),
            key=lambda draft: draft.num_matched,
            default=NO_DRAFT,
        )
        if not best.token_ids:
            return NO_DRAFT
        length = num_worth(self._speculation.rates.rate(best), self._speculation.pace)
        return msgspec.structs.replace(best, token_ids=self._cut(best.token_ids[:length]))

    def note(self, draft: Draft, *, is_right: bool) -> None:
        self._speculation.rates.note(draft, is_right=is_right)

    def took(self, num_tokens: int, milliseconds: float) -> None:
        self._speculation.pace.note(num_tokens, milliseconds)

    def _cut(self, token_ids: Sequence[int]) -> Sequence[int]:
        for index, token_id in enumerate(token_ids):
            if token_id in self._ends:
                return token_ids[:index]
            if self._is_last(token_id):
                return token_ids[: index + 1]
        return token_ids


def _behind(text: TokenIds, found: Match | None, max_tokens: int, drafter: str) -> Draft | None:
    if found is None:
        return None
    token_ids = text[found.end : found.end + max_tokens].tolist()
    return Draft(token_ids, found.num_tokens, drafter)
