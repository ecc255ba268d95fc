"""Guesses change how often the model runs, and never what is written."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cancellation import CancelToken
from inference.decoding.drafting import (
    MAX_DRAFT,
    NO_DRAFT,
    PREDICTED,
    Draft,
    EarlierTexts,
    Guesses,
    Match,
    PromptLookup,
    Rates,
    Speculation,
    TokenIds,
    longest_match,
    num_worth,
)
from inference.decoding.generate import generate
from inference.decoding.pace import Pace
from inference.decoding.session import Session
from inference.runtime.language_model import KvCache
from tests.support.scripted_model import END, NextToken, ScriptedModel, noise

SHORT = st.lists(st.integers(0, 2), max_size=12)
ENDS = frozenset({END})


def never(_token_id: int) -> bool:
    return False


def ids(text: str) -> TokenIds:
    return np.array(list(text.encode()), np.int64)


class Told:
    """A drafter that guesses what a test tells it to, one guess after the other."""

    name = "told"

    def __init__(self, drafts: Sequence[Sequence[int]]) -> None:
        self._drafts = list(drafts)

    def draft(self, token_ids: TokenIds, max_tokens: int) -> Draft | None:
        if not self._drafts:
            return None
        return Draft(self._drafts.pop()[:max_tokens], 6, self.name)


class Knowing:
    """A drafter that knows the next tokens, and now and then says something else."""

    name = "knowing"

    def __init__(self, next_token: object, every: int) -> None:
        self._next_token = next_token
        self._every = every
        self._num_asked = 0

    def draft(self, token_ids: TokenIds, max_tokens: int) -> Draft | None:
        known = token_ids.tolist()
        for _ in range(max_tokens):
            self._num_asked += 1
            wrong = self._num_asked % self._every == 0
            known.append(7 if wrong else self._next_token(known))  # type: ignore[operator]
        return Draft(known[len(token_ids) :], 6, self.name)


class Foreseeing:
    """A predictor that knows the next tokens, and says something else every so often."""

    def __init__(self, next_token: NextToken, every: int) -> None:
        self._next_token = next_token
        self._every = every
        self.num_guessed = 0

    def rest(self) -> None:
        pass

    def guess(
        self, token_ids: Sequence[int], cache: KvCache, *, num_tokens: int, cancel: CancelToken
    ) -> list[int]:
        assert len(token_ids) == cache.length + 1
        known = list(token_ids)
        for _ in range(num_tokens):
            self.num_guessed += 1
            wrong = self.num_guessed % self._every == 0
            known.append(7 if wrong else self._next_token(known))
        return known[len(token_ids) :]


def written(
    model: ScriptedModel, guesses: Guesses | None, *, prompt: Sequence[int], num_tokens: int
) -> list[int]:
    session = Session(model)
    cancel = CancelToken()
    logits, _ = session.prefill(prompt, cancel)
    found = list[int]()
    following = generate(session, logits, lambda row: int(np.argmax(row)), ENDS, cancel, guesses)
    for token_id in following:
        found.append(token_id)
        assert list(session.token_ids[: len(prompt)]) == list(prompt)
        assert session.cache_length == len(session.token_ids)
        if len(found) == num_tokens:
            break
    return found


def guessing(*drafters: object, predictor: Foreseeing | None = None) -> Guesses:
    return Guesses(Speculation(), drafters, ENDS, never, predictor)  # type: ignore[arg-type]


@given(st.integers(0, 1000), st.lists(st.lists(st.integers(0, 255), max_size=9), max_size=20))
def test_the_text_is_the_same_whatever_is_guessed(seed: int, drafts: list[list[int]]) -> None:
    alone = written(ScriptedModel(noise(seed)), None, prompt=[1, 2, 3], num_tokens=40)
    guesses = guessing(Told(drafts), PromptLookup())
    assert written(ScriptedModel(noise(seed)), guesses, prompt=[1, 2, 3], num_tokens=40) == alone


@given(st.integers(0, 1000), st.integers(1, 9))
def test_right_guesses_save_runs(seed: int, every: int) -> None:
    alone, helped = ScriptedModel(noise(seed)), ScriptedModel(noise(seed))
    wanted = written(alone, None, prompt=[1, 2], num_tokens=60)
    guesses = guessing(Knowing(noise(seed), every))
    assert written(helped, guesses, prompt=[1, 2], num_tokens=60) == wanted
    assert helped.num_forwards <= alone.num_forwards


@given(st.integers(0, 1000), st.integers(1, 9))
def test_a_predictor_saves_runs_and_changes_no_text(seed: int, every: int) -> None:
    alone, helped = ScriptedModel(noise(seed)), ScriptedModel(noise(seed))
    wanted = written(alone, None, prompt=[1, 2], num_tokens=60)
    guesses = guessing(PromptLookup(), predictor=Foreseeing(noise(seed), every))
    assert written(helped, guesses, prompt=[1, 2], num_tokens=60) == wanted
    assert helped.num_forwards <= alone.num_forwards


def test_a_predictor_that_is_seldom_right_or_slow_is_asked_no_more() -> None:
    wrong = Foreseeing(noise(3), every=1)
    written(ScriptedModel(noise(3)), guessing(predictor=wrong), prompt=[1], num_tokens=200)
    assert 0 < wrong.num_guessed < 40
    slow = Speculation()
    for pace_ms in (1.0, 1.0):
        slow.pace.note(1, pace_ms)
        slow.predicted(1, 50 * pace_ms)
    guesses = Guesses(slow, [], ENDS, never)
    guesses.begin([1, 2], 100)
    assert guesses.next(8, lambda _: [1, 2, 3]) == NO_DRAFT


def test_the_predictor_is_asked_where_it_promises_more() -> None:
    def drafted(right: int, num_looked_up: int) -> str:
        speculation = Speculation()
        for index in range(40):
            speculation.rates.note(PREDICTED, is_right=index % 10 < right)
        told = [[1] * num_looked_up] if num_looked_up else []
        guesses = Guesses(speculation, [Told(told)], ENDS, never)
        guesses.begin([1, 2], 100)
        return guesses.next(8, lambda num_tokens: [2] * num_tokens).drafter

    assert drafted(right=9, num_looked_up=3) == "predictor"
    assert drafted(right=9, num_looked_up=0) == "predictor"
    assert drafted(right=4, num_looked_up=3) == "told"
    assert drafted(right=0, num_looked_up=0) == ""


def test_a_guess_that_is_always_right_takes_a_ninth_of_the_runs() -> None:
    model = ScriptedModel(noise(3))
    written(model, guessing(Knowing(noise(3), every=10**9)), prompt=[1], num_tokens=91)
    assert model.num_forwards <= 1 + 91 / (MAX_DRAFT + 1) + 4  # some before it is believed


def test_guesses_stop_where_the_cache_is_full() -> None:
    model = ScriptedModel(noise(3), context_length=20)
    guesses = guessing(Knowing(noise(3), every=10**9))
    found = written(model, guesses, prompt=[1], num_tokens=100)
    alone = written(ScriptedModel(noise(3), context_length=20), None, prompt=[1], num_tokens=100)
    assert found == alone


def test_a_cache_that_goes_back_to_runs_alone_is_given_no_guesses() -> None:
    model = ScriptedModel(noise(3), stride=4)
    guesses = guessing(Knowing(noise(3), every=2))
    found = written(model, guesses, prompt=[1], num_tokens=30)
    assert found == written(ScriptedModel(noise(3)), None, prompt=[1], num_tokens=30)
    assert model.num_tokens_read == model.num_forwards


def test_a_guess_ends_before_an_end_and_behind_what_is_last() -> None:
    def cut(token_ids: Sequence[int]) -> Sequence[int]:
        guesses = Guesses(Speculation(), [Told([token_ids])], ENDS, lambda one: one == 10)
        guesses.begin([1, 2], 100)
        return guesses.next(50).token_ids

    assert cut([1, END, 3]) == [1]
    assert cut([1, 10, 3]) == [1, 10]
    assert cut([END]) == []


def check_match(text: str, context: str, *, end: int | None, num_tokens: int = 0) -> None:
    expected = None if end is None else Match(end=end, num_tokens=num_tokens)
    assert longest_match(ids(text), ids(context)) == expected


@pytest.mark.parametrize(
    ("text", "context", "end", "num_tokens"),
    [
        ("abcabd", "xab", 5, 2),  # the later of two that are as long
        ("xabcab", "zxab", 3, 3),  # the longer one, though it stands before
        ("abc", "b", None, 0),
        ("abc", "xb", None, 0),
        ("", "ab", None, 0),
        ("abcdefghij", "abcdefgh", 8, 6),
        ("ab", "ab", 2, 2),
    ],
)
def test_the_longest_match_is_found(
    text: str, context: str, end: int | None, num_tokens: int
) -> None:
    check_match(text, context, end=end, num_tokens=num_tokens)


@given(SHORT, SHORT)
def test_no_match_is_longer(text: list[int], context: list[int]) -> None:
    """Compared with looking everywhere."""
    found = longest_match(np.array(text, np.int64), np.array(context, np.int64))
    lengths = {
        (num_tokens, end)
        for end in range(len(text) + 1)
        for num_tokens in range(2, 7)
        if num_tokens <= min(end, len(context))
        and text[end - num_tokens : end] == context[-num_tokens:]
    }
    best = max(lengths, default=None)
    assert (None if found is None else (found.num_tokens, found.end)) == best


def test_the_prompt_tells_what_stood_behind_the_same_tokens() -> None:
    draft = PromptLookup().draft(ids("for x in items: print(x)\nfor x in "), 5)
    assert draft == Draft(list(b"items"), 6, "prompt")


def test_earlier_texts_tell_what_was_written() -> None:
    drafter = EarlierTexts([ids("return a"), ids("return value"), ids("other")])
    draft = drafter.draft(ids("    return v"), 3)
    assert draft is not None
    assert bytes(draft.token_ids) == b"alu"
    assert drafter.draft(ids("zz"), 3) is None


def paced(step_ms: float, two_ms: float) -> Pace:
    pace = Pace()
    pace.note(1, step_ms)
    pace.note(2, two_ms)
    return pace


@pytest.mark.parametrize(
    ("rate", "two_ms", "least", "most"),
    [(0.0, 1.1, 0, 0), (0.05, 1.2, 0, 0), (0.6, 1.2, 1, 4), (0.99, 1.1, 8, 8), (0.6, 2.0, 0, 0)],
)
def test_a_guess_is_as_long_as_it_pays(rate: float, two_ms: float, least: int, most: int) -> None:
    assert least <= num_worth(rate, paced(1.0, two_ms)) <= most


def test_what_is_seldom_right_is_guessed_no_more() -> None:
    rates, draft = Rates(), Draft([1, 2], 2, "prompt")
    for _ in range(40):
        rates.note(draft, is_right=False)
    assert num_worth(rates.rate(draft), paced(1.0, 1.2)) == 0
    assert num_worth(rates.rate(Draft([1], 6, "prompt")), paced(1.0, 1.2)) > 0
    for _ in range(40):
        rates.note(draft, is_right=True)
    assert num_worth(rates.rate(draft), paced(1.0, 1.2)) > 0


def test_nothing_is_guessed_without_a_drafter() -> None:
    guesses = guessing()
    guesses.begin([1, 2], 10)
    assert guesses.next(5).token_ids == NO_DRAFT.token_ids
