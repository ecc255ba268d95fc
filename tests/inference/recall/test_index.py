"""What an index finds is what looking everywhere finds."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.recall.index import MAX_MATCHED, MIN_MATCHED, Recalled, TokenIndex, longest

TOKENS = st.integers(0, 3)
TEXTS = st.lists(st.lists(TOKENS, max_size=40), max_size=5)
HISTORIES = st.lists(TOKENS, max_size=40)


def index_of(texts: Sequence[Sequence[int]]) -> TokenIndex:
    return TokenIndex({str(n): np.array(text, np.int32) for n, text in enumerate(texts)})


def looked_up(
    texts: Sequence[Sequence[int]], history: Sequence[int], forgotten: set[str]
) -> tuple[int, list[int]] | None:
    """Look everywhere; return how much is shared at most, and what follows at those places."""
    shared = [
        (num_shared(text[:place], history), text[place])
        for number, text in enumerate(texts)
        if str(number) not in forgotten
        for place in range(1, len(text))
    ]
    most = max((number for number, _ in shared), default=0)
    if most < MIN_MATCHED:
        return None
    return most, [token for number, token in shared if number == most]


def num_shared(text: Sequence[int], history: Sequence[int]) -> int:
    number = 0
    while number < min(len(text), len(history), MAX_MATCHED):
        if text[-number - 1] != history[-number - 1]:
            break
        number += 1
    return number


@given(TEXTS, HISTORIES, st.sets(st.sampled_from("012")))
def test_it_finds_what_looking_everywhere_finds(
    texts: list[list[int]], history: list[int], forgotten: set[str]
) -> None:
    found = index_of(texts).recall(history, forgotten)
    expected = looked_up(texts, history, forgotten)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert (found.num_matched, found.following.tolist()) == expected
        assert found.continuation[0] == found.following[-1]


def test_a_continuation_ends_with_its_text() -> None:
    found = index_of([[1, 2, 3, 4], [2, 3, 9]]).recall([1, 2], set())
    assert found is not None
    assert found.continuation.tolist() == [3, 4]


def test_of_common_places_a_few_are_looked_at() -> None:
    texts = [[1, 2, 3] for _ in range(2_000)] + [[1, 2, 4]]
    found = index_of(texts).recall([1, 2], set())
    assert found is not None
    assert found.following[-1] == 4
    assert len(found.following) < 1_000


def test_eight_bytes_a_token() -> None:
    index = index_of([list(range(1_000))] * 10)
    assert index.num_tokens == 10_000
    assert index.num_bytes < 8.2 * index.num_tokens


def test_the_longest_of_several_is_taken_of_equals_the_last() -> None:
    one, other = (index_of([[1, 2, token]]).recall([1, 2], set()) for token in (7, 8))
    more = index_of([[1, 1, 2, 9]]).recall([1, 1, 2], set())
    assert longest([one, None, other]) is other
    assert longest([more, one]) is more
    assert longest([None]) is None
    assert isinstance(more, Recalled)
