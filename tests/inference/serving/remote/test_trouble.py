"""trouble: how soon an endpoint is tried again. Time is what the test says."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from inference.serving.remote.trouble import Breaker


def check(*, troubles: int, pauses: Sequence[float], asked_s: float = 0.0) -> None:
    """Have trouble again at the end of each pause."""
    breaker, now = Breaker(), 100.0
    for number in range(troubles):
        breaker.trouble(now, asked_s)
        pause = pauses[number]
        assert not breaker.may_try(now + pause - 0.01)
        assert breaker.may_try(now + pause)
        now += pause


def test_pauses_grow_from_five_seconds_to_a_minute() -> None:
    check(troubles=6, pauses=[5, 10, 20, 40, 60, 60])


def test_an_endpoint_may_ask_for_a_longer_pause_but_not_for_any() -> None:
    check(troubles=3, pauses=[30, 30, 30], asked_s=30)
    check(troubles=2, pauses=[60, 60], asked_s=86_400)


def test_an_answer_makes_the_next_pause_short_again() -> None:
    breaker = Breaker()
    breaker.trouble(0)
    breaker.trouble(5)
    breaker.answered()
    breaker.trouble(100)
    assert breaker.may_try(105)


def test_three_slow_answers_in_a_row_are_trouble() -> None:
    breaker = Breaker()
    assert [breaker.slow(), breaker.slow()] == [False, False]
    breaker.answered()
    assert [breaker.slow(), breaker.slow(), breaker.slow()] == [False, False, True]


def test_a_user_who_says_so_is_heard_at_once() -> None:
    breaker = Breaker()
    breaker.trouble(0)
    breaker.try_now()
    assert breaker.may_try(0)


@given(st.lists(st.floats(0, 4.9), max_size=50))
def test_trouble_within_a_pause_makes_it_no_longer(moments: list[float]) -> None:
    breaker = Breaker()
    breaker.trouble(0)
    for moment in moments:
        breaker.trouble(moment)
    assert breaker.may_try(5)
