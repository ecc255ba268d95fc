"""Rates, quotas and places, by a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from team.limits import DAY_SECONDS, Admission, Quotas
from team.tokens import TokenRecord
from team.wire import Refused


def record(*, per_minute: int = 0, per_day: int = 0, name: str = "ann") -> TokenRecord:
    return TokenRecord(name=name, sha256="", created=0, per_minute=per_minute, per_day=per_day)


def check(who: TokenRecord, *times: float, lets_in: int) -> None:
    """Ask at these times, in seconds; so many of the requests are let in."""
    assert num_let_in(who, *times) == lets_in


def num_let_in(who: TokenRecord, *times: float) -> int:
    quotas, refusals = Quotas(), list[Refused]()
    for now in times:
        try:
            quotas.spend(who, now)
        except Refused as refused:
            refusals.append(refused)
    assert all(refused.status == 429 for refused in refusals)
    assert all(refused.retry_after and refused.retry_after > 0 for refused in refusals)
    return len(times) - len(refusals)


def test_without_bounds_all_come_in() -> None:
    check(record(), *[0.0] * 100, lets_in=100)


def test_who_was_quiet_may_send_ten_seconds_worth_at_once() -> None:
    check(record(per_minute=60), *[0.0] * 100, lets_in=10)


def test_a_slow_rate_lets_one_in() -> None:
    check(record(per_minute=1), 0.0, 1.0, 30.0, 60.0, lets_in=2)


def test_a_day_has_so_many() -> None:
    check(record(per_day=3), 0, 1, 2, 3, DAY_SECONDS - 1, DAY_SECONDS, lets_in=4)


@given(st.integers(6, 600), st.lists(st.floats(0, 2), max_size=200))
def test_no_minute_has_more_than_the_rate_and_what_was_saved(
    per_minute: int, pauses: list[float]
) -> None:
    times, now = list[float](), 0.0
    for pause in pauses:
        now += pause
        times.append(now)
    most = per_minute / 60 * (now + 10) + 1
    assert num_let_in(record(per_minute=per_minute), *times) <= most


def test_each_has_a_rate_of_their_own() -> None:
    quotas = Quotas()
    quotas.spend(record(per_minute=1), 0.0)
    quotas.spend(record(per_minute=1, name="bob"), 0.0)
    with pytest.raises(Refused):
        quotas.spend(record(per_minute=1), 0.0)


def test_places_are_few_and_come_back() -> None:
    admission = Admission(2, 2)
    with admission.admitted(""), admission.admitted(""):
        assert admission.num_waiting == 2
        with pytest.raises(Refused) as caught:
            admission.check("")
        assert caught.value.status == 503
    assert admission.num_waiting == 0


def test_one_person_has_not_all_places() -> None:
    admission = Admission(8, 1)
    with admission.admitted("ann"):
        with pytest.raises(Refused) as caught:
            admission.check("ann")
        assert caught.value.status == 429
        admission.check("bob")
    admission.check("ann")
